"""The published weights that the installed open_clip lists, read from its source text.

An import of open_clip imports torch, which takes seconds. A wrong tag is refused without it.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Tags = Mapping[str, Mapping[str, Any]]
_TABLE = "_PRETRAINED"
_QUICK = "quick_gelu"


def tags_of(name: str) -> Tags:
    """Return a model's published weights by tag, as open_clip's `get_pretrained_cfg` does; empty if it has none.

    Args:
        name: A model's name.

    Returns:
        For each tag at least those of `url`, `hf_hub` and `quick_gelu` that open_clip states.
    """
    return _table().get(name, {})


def model_of(repository: str) -> str | None:
    """Return the model whose weights a repository of the hub has, as open_clip lists them; None if it lists none.

    Args:
        repository: `owner/name`.
    """
    names = [
        f"{name}-quickgelu" if each.get(_QUICK) and f"{name}-quickgelu" in _table() else name
        for name, tags in _table().items()
        for each in tags.values()
        if str(each.get("hf_hub") or "").startswith(f"{repository}/")
    ]
    return names[0] if names else None


def needs_quick_gelu(file: str, repository: str | None) -> bool | None:
    """Return whether published weights need QuickGELU; None if open_clip does not list them.

    Args:
        file: The name of the weights file.
        repository: `owner/name` of the hub, if they come from it.
    """
    for name, tags in _table().items():
        for each in tags.values():
            published = str(each.get("url") or "").rpartition("/")[2]
            hub = str(each.get("hf_hub") or "")
            # OpenAI's files are called as the model, which files of other weights may be called too.
            if (published == file and not file.startswith(name.removesuffix("-quickgelu"))) or (
                repository and hub.startswith(f"{repository}/")
            ):
                return bool(each.get(_QUICK))
    return None


@functools.cache
def _table() -> Mapping[str, Tags]:
    """Return the tags of every model."""
    spec = importlib.util.find_spec("open_clip")
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    source = next((file for folder in folders if (file := folder / "pretrained.py").is_file()), None)
    found = read_table(source.read_text(encoding="utf-8")) if source is not None else None
    return found or _imported()


def _imported() -> Mapping[str, Tags]:
    """Return the same from open_clip itself."""
    from open_clip import get_pretrained_cfg, list_pretrained

    found: dict[str, dict[str, Any]] = {}
    for name, tag in list_pretrained():
        found.setdefault(name, {})[tag] = get_pretrained_cfg(name, tag)
    return found


def read_table(source: str) -> Mapping[str, Tags] | None:
    """Read the tags of all models from the text of `open_clip/pretrained.py`; no code of it runs.

    Args:
        source: The text.

    Returns:
        The tags of each model. Models with the suffix `-quickgelu` have the tags whose weights need QuickGELU. None if
        the text is written in another way than this function knows.
    """
    names: dict[str, Any] = {}
    try:
        for node in ast.parse(source).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() | ast.Call() as value):
                    names[name] = _value(value, names)
        table: dict[str, dict[str, Any]] = dict(names[_TABLE])
        quick = {name: {tag: each for tag, each in tags.items() if each.get(_QUICK)} for name, tags in table.items()}
    except (SyntaxError, KeyError, TypeError, AttributeError, ValueError):
        return None
    return table | {f"{name}-quickgelu": tags for name, tags in quick.items() if tags}


def _value(node: ast.AST, names: Mapping[str, Any]) -> Any:
    """Return a constant, a dictionary, or the keywords of a call as a dictionary; None for anything else."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names.get(name)
        case ast.Dict(keys=keys, values=values):
            return {_value(key, names): _value(value, names) for key, value in zip(keys, values, strict=True) if key}
        case ast.Call(args=[], keywords=keywords):
            return {keyword.arg: _value(keyword.value, names) for keyword in keywords if keyword.arg}
    return None
