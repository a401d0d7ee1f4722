"""The tags of open_clip are read from its source text as open_clip itself lists them, without importing torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from open_clip import get_pretrained_cfg, list_pretrained

from scing_cli.core.encoders import published_tags
from scing_cli.core.encoders.published_tags import read_table, tags_of

KEYS = ("url", "hf_hub", "quick_gelu")


def test_they_are_open_clips():
    known = list_pretrained()
    assert {(name, tag) for name in published_tags._table() for tag in tags_of(name)} == set(known)
    for name, tag in known:
        ours, theirs = tags_of(name)[tag], get_pretrained_cfg(name, tag)
        assert [ours.get(key) or None for key in KEYS] == [theirs.get(key) or None for key in KEYS]
    assert published_tags._imported().keys() == published_tags._table().keys()


def test_a_model_without_published_weights_has_no_tags():
    assert tags_of("scing-tiny") == {}


@pytest.mark.parametrize("text", ["", "_PRETRAINED = load()", "_PRETRAINED = {'a': _tags(1)}", "_PRETRAINED = ("])
def test_a_text_that_is_written_otherwise_is_not_guessed_at(text):
    assert not read_table(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "ViT-B-16", "--pretrained", "nosuch"), "ViT-B-16 has no weights with the tag 'nosuch'"),
        (("--model", "ViT-B-16", "--pretrained", "laion2b_s34b_b88k"), "cannot be fetched"),
        (("--model", "ViT-B-61", "--pretrained", "openai"), "There is no model 'ViT-B-61'"),
        (("--model", "ViT-B-16", "--pretrained", "openai"), "Use ViT-B-16-quickgelu"),
    ],
)
def test_a_wrong_name_is_refused_before_torch_is_imported(tmp_path, options, message):
    (tmp_path / "a.jpg").touch()
    code = (
        "import sys; from scing_cli.__main__ import main\n"
        f"sys.argv = ['scing', 'evaluate', '--data', {str(tmp_path)!r}, *{options!r}]\n"
        "try: main()\n"
        "finally: assert not {'torch', 'open_clip'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert message in done.stderr
    assert done.returncode == 2, done.stderr


def test_a_file_called_like_a_model_may_be_anybodys() -> None:
    """OpenAI's files are called ViT-B-16.pt, and so may others be; a name that open_clip alone gives is known."""
    assert {published_tags.needs_quick_gelu(f"{name}.pt", None) for name in ("ViT-B-16", "ViT-L-14-336px", "RN50")} == {
        None
    }
    assert published_tags.needs_quick_gelu("b16_400m.pt", None)
