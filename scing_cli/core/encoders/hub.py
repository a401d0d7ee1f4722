"""Finds published weights on this machine or downloads them.

The small model's weights ship with this package (tag `rendered`). Other weights are searched in this order:
`weights/<model>-<tag>.<safetensors|pt|bin|pth>` in this program's cache folder, OpenAI's cache (`~/.cache/clip`), the
Hugging Face cache. If none has the file and the user named the tag, it is downloaded: from its published address
(`fetch`), else from the hub (`hub_download`). This module imports neither torch nor open_clip.
"""

from __future__ import annotations

import dataclasses
import functools
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

from scing_cli.core.artifacts import cache_folder, home_folder
from scing_cli.core.encoders.architecture import CONFIG_FILES, OWN_MODELS, config_file, find_architecture
from scing_cli.core.encoders.fetch import OFFLINE_WAY, Probe, UnfetchedError, fetch
from scing_cli.core.encoders.hub_download import fetch_from_hub, hub_address
from scing_cli.core.encoders.published_tags import tags_of
from scing_cli.core.errors import WeightsError
from scing_cli.core.paths import check_local
from scing_cli.core.runtime import Reporter

SUFFIXES = (".safetensors", ".pt", ".bin", ".pth")
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
FOLDER_FILES = (*_HUB_FILES, "model.safetensors", "pytorch_model.bin", "image_encoder.safetensors")
_OPENAI = "https://openaipublic.azureedge.net/clip/models"


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """The addresses of one tag's weights.

    Args:
        url: Address of a file, or empty.
        hub: `owner/name/` of a hub repository, optionally followed by a file name, or empty.
        quick_gelu: Whether the weights were trained with QuickGELU.
    """

    url: str = ""
    hub: str = ""
    quick_gelu: bool = False


def _openai(digest: str, file: str, repository: str) -> Published:
    return Published(f"{_OPENAI}/{digest}/{file}", f"timm/{repository}.openai/", quick_gelu=True)


SHIPPED = "rendered"

# The default tag's addresses, so that a missing file is reported without loading torch and open_clip.
OPENAI = {
    "ViT-B-32-quickgelu": _openai(
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "ViT-B-32.pt", "vit_base_patch32_clip_224"
    ),
    "ViT-B-16-quickgelu": _openai(
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", "ViT-B-16.pt", "vit_base_patch16_clip_224"
    ),
    "ViT-L-14-quickgelu": _openai(
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", "ViT-L-14.pt", "vit_large_patch14_clip_224"
    ),
}


def default_tag(name: str) -> str:
    """Return a model's default weights: its folder's file, or the tag of its shipped weights, or OpenAI's."""
    if (own := folder_weights(name)) is not None:
        return own.as_posix()
    return SHIPPED if shipped_weights(name) else "openai"


def folder_weights(name: str) -> Path | None:
    """Return the weights file next to the JSON file of open_clip or transformers that `--model` names, if any."""
    config = config_file(name)
    return _weights_in(config.parent) if config is not None and config.name in CONFIG_FILES else None


def shipped_weights(name: str) -> Path | None:
    """Return the weights file that ships with this package for a model; None if there is none."""
    return {path.stem: path for path in OWN_MODELS.glob("*.safetensors")}.get(name)


def has_own_weights(name: str) -> bool:
    """Return whether a model's weights are known without `--pretrained`: in its folder, or in this package."""
    return folder_weights(name) is not None or shipped_weights(name) is not None


def locate(name: str, pretrained: str | None, *, reporter: Reporter) -> Path | None:
    """Return the weights file for `--model` and `--pretrained`; None for random weights.

    Commands call this before they load torch, so that a missing file is reported at once.

    Args:
        name: A model's name, or the path of its JSON file.
        pretrained: A tag, the path of a file (it is not opened) or of a folder with one of `FOLDER_FILES`, or `random`;
            None for `default_tag`.
        reporter: Shows a download's progress.

    Raises:
        WeightsError: As for `find_architecture` and `find_weights`, or if the given file does not exist.
    """
    architecture = find_architecture(name)
    pretrained = pretrained or default_tag(name)
    if pretrained == "random":
        return None
    if not is_file_name(pretrained):
        return find_weights(architecture.name, pretrained, reporter=reporter)
    path = check_local(Path(pretrained)).absolute()
    return _in_folder(path) if path.is_dir() else _file(path)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise WeightsError(f"The weights file {path} does not exist.", "Give its path: --pretrained FILE.")
    return path


def _weights_in(folder: Path) -> Path | None:
    """Return the first of `FOLDER_FILES` in a folder; None if there is none."""
    return next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)


def _in_folder(folder: Path) -> Path:
    """Return the weights file of a folder as open_clip and transformers write it.

    Raises:
        WeightsError: If it has none; the message names the files.
    """
    found = _weights_in(folder)
    if found is None:
        raise WeightsError(
            f"{folder} has no weights file.", f"It should hold {', '.join(FOLDER_FILES)}. Or give a file."
        )
    return found


def is_file_name(pretrained: str) -> bool:
    """Return whether `--pretrained` is a path, not a tag: by its suffix or folder, or because such weights exist."""
    path = Path(pretrained)
    return path.suffix in SUFFIXES or len(path.parts) > 1 or path.is_file() or _weights_in(path) is not None


def find_weights(name: str, tag: str, *, reporter: Reporter) -> Path:
    """Return the weights file of a published tag; it is downloaded if this machine does not have it.

    Without a network this fails within 5 seconds.

    Args:
        name: A model's name.
        tag: A tag that open_clip knows for it, such as `openai`.
        reporter: Shows a download's progress.

    Raises:
        WeightsError: If the model or the tag is unknown, the weights need another activation, or the download fails;
            the message then gives the address and where to put the file.
    """
    if tag == SHIPPED and (own := shipped_weights(name)):
        return own
    published = find_published(name, tag)
    if found := _local(name, tag, published):
        return found
    if not (sources := _sources(f"{name}-{tag}", published)):
        raise WeightsError(f"open_clip lists no file for the tag {tag!r} of {name}.", "Give a file: --pretrained FILE.")
    return _fetch_first(sources, reporter)


def weights_folder() -> Path:
    """Return the folder of downloaded weights, where users can also put files: `<cache>/weights`."""
    return cache_folder() / "weights"


def find_published(name: str, tag: str) -> Published:
    """Return the addresses of a tag.

    Raises:
        WeightsError: If the model does not have the tag (the message lists its tags), or if the weights need QuickGELU
            and the model does not use it.
    """
    published, tags = _tags(name, tag)
    if published is None:
        known = f"Its tags: {', '.join(tags)}." if tags else "It has no published weights."
        raise WeightsError(
            f"{name} has no weights with the tag {tag!r}.",
            f"{known} Or use --pretrained FILE or --pretrained random.",
        )
    # With the wrong activation the features would be wrong, and nothing would show it.
    if published.quick_gelu and not find_architecture(name).image.quick_gelu:
        raise WeightsError(
            f"The weights {tag!r} were trained with QuickGELU, which {name} does not use: features would be wrong.",
            f"Use {name}-quickgelu.",
        )
    return published


def _tags(name: str, tag: str) -> tuple[Published | None, list[str]]:
    """Return the addresses of a tag, or None and the known tags."""
    if shipped_weights(name):
        return None, [SHIPPED]
    clean = tag.lower().replace("-", "_")
    # OpenAI's weights need the other activation: a name without it is refused by the caller, also without torch.
    if clean == "openai" and (known := OPENAI.get(name) or OPENAI.get(f"{name}-quickgelu")):
        return known, []
    if not (content := (tags := tags_of(name)).get(clean)):
        return None, list(tags)
    quick_gelu = bool(content.get("quick_gelu")) or clean == "openai"
    return Published(content.get("url") or "", content.get("hf_hub") or "", quick_gelu), []


def _local(name: str, tag: str, published: Published) -> Path | None:
    """Return the file of a tag on this machine; None if there is none."""
    paths = [weights_folder() / f"{name}-{tag}{suffix}" for suffix in SUFFIXES]
    if published.url:
        paths.append(home_folder() / ".cache" / "clip" / Path(published.url).name)
    if published.hub:
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(repository, file) for repository, file in _hub_files(published))
        paths.extend(Path(path) for path in found if isinstance(path, str))
    return next((path for path in paths if path.is_file()), None)


def _hub_files(published: Published) -> list[tuple[str, str]]:
    repository, _, file = published.hub.rpartition("/")
    return [(repository, each) for each in ((file,) if file else _HUB_FILES)]


@dataclasses.dataclass(frozen=True, slots=True)
class _Source:
    """An address of a file; `get` downloads it and raises the errors of `fetch`."""

    url: str
    target: Path
    get: Callable[..., Path]

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.url).netloc


def _sources(stem: str, published: Published) -> list[_Source]:
    """Return the addresses of a file, in the order to try."""
    sources = []
    # OpenAI's address comes first: it contains the SHA-256 of the file. The hub has the same tensors in another file,
    # for networks that cannot reach OpenAI's host.
    if published.url:
        target = weights_folder() / f"{stem}{Path(urllib.parse.urlsplit(published.url).path).suffix}"
        sources.append(_Source(published.url, target, functools.partial(fetch, published.url, target)))
    for repository, file in _hub_files(published) if published.hub else []:
        target = weights_folder() / f"{stem}{Path(file).suffix}"
        get = functools.partial(fetch_from_hub, repository, file, target)
        sources.append(_Source(hub_address(repository, file), target, get))
    return sources


def _fetch_first(sources: Sequence[_Source], reporter: Reporter) -> Path:
    """Download from the first reachable host that has the file."""
    urls = {source.host: source.url for source in sources}
    probes = {host: Probe(url) for host, url in urls.items()}  # in parallel: several hosts take no longer than one
    failures: dict[str, UnfetchedError] = {}
    for source in sources:
        if source.host in failures:
            continue
        try:
            return source.get(reporter=reporter, probe=probes[source.host])
        except FileNotFoundError:
            continue
        except UnfetchedError as error:
            failures[source.host] = error
    if failures:
        first, reasons = next(iter(failures.values())), dict.fromkeys(each.reason for each in failures.values())
        raise UnfetchedError(first.url, first.target, "; ".join(reasons)) from first
    raise WeightsError(
        f"{sources[-1].url} does not exist any more.",
        f"Put the file at {sources[-1].target}, or give its path: --pretrained FILE.\n{OFFLINE_WAY}",
    )
