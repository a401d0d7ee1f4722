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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scing_cli.core.artifacts import cache_folder, home_folder
from scing_cli.core.encoders.architecture import (
    CONFIG_FILES,
    OWN_MODELS,
    config_file,
    find_architecture,
)
from scing_cli.core.encoders.fetch import OFFLINE_WAY, Probe, UnfetchedError, fetch
from scing_cli.core.encoders.graph_names import refuse_graph_file
from scing_cli.core.encoders.hub_download import fetch_from_hub, hub_address
from scing_cli.core.encoders.local_copies import (
    HUB_FILES,
    SUFFIXES,
    TRANSFORMERS_FILES,
    given_file,
    hub_copy,
    is_place,
    repository_of,
    weights_in,
)
from scing_cli.core.encoders.published_tags import tags_of
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Reporter

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

# The same weights in transformers' layout.
_TRANSFORMERS = {
    "ViT-B-32-quickgelu": "openai/clip-vit-base-patch32",
    "ViT-B-16-quickgelu": "openai/clip-vit-base-patch16",
    "ViT-L-14-quickgelu": "openai/clip-vit-large-patch14",
}


def default_tag(name: str) -> str:
    """Return a model's default weights: its folder's or copy's, or the tag of its shipped weights, or OpenAI's."""
    if (repository := _repository(name)) is not None:
        return repository
    if (own := folder_weights(name)) is not None:
        return own.as_posix()
    return SHIPPED if shipped_weights(name) else "openai"


def folder_weights(name: str) -> Path | None:
    """Return the weights file next to the JSON file of open_clip or transformers that `--model` names, if any."""
    if (repository := _repository(name)) is not None:
        return given_file(repository)
    config = config_file(name)
    return weights_in(config.parent) if config is not None and config.name in CONFIG_FILES else None


def _repository(name: str) -> str | None:
    """Return the repository that `--model` names, if the hub's cache has a copy with weights."""
    copy = hub_copy(name) if "/" in name else None
    return repository_of(name) if copy is not None and weights_in(copy) is not None else None


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
        pretrained: A tag, the path of a file (it is not opened) or of a folder with one of `FOLDER_FILES`, a repository
            `owner/name` in the hub's cache, or `random`; None for `default_tag`.
        reporter: Shows a download's progress.

    Raises:
        WeightsError: As for `find_architecture` and `find_weights`, or if the given file does not exist.
    """
    architecture = find_architecture(name)
    pretrained = pretrained or default_tag(name)
    refuse_graph_file(pretrained)
    if pretrained == "random":
        return None
    if not is_place(pretrained):
        return find_weights(architecture.name, pretrained, reporter=reporter)
    return given_file(pretrained)


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
        paths.extend(_copied(name, published))
    return next((path for path in paths if path.is_file()), None)


def _copied(name: str, published: Published) -> Iterator[Path]:
    """Yield where the hub's cache may have a tag's weights: as open_clip fetches them, then as transformers does."""
    for repository, file in _hub_files(published):
        if (copy := hub_copy(repository)) is not None:
            yield copy / file
    repository = published.hub.rpartition("/")[0]
    same = _TRANSFORMERS.get(name) if published is OPENAI.get(name) else repository
    if not repository.startswith("timm/") or same != repository:  # timm's own file of this name has other tensors
        copy = hub_copy(same) if same else None
        yield from (copy / file for file in TRANSFORMERS_FILES) if copy is not None else ()


def _hub_files(published: Published) -> list[tuple[str, str]]:
    repository, _, file = published.hub.rpartition("/")
    return [(repository, each) for each in ((file,) if file else HUB_FILES)]


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
