"""The place of an export: the format that a name means, and a folder that appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.errors import ScingError, SettingError
from scing_cli.core.workflows.embed.export_place import (
    EXPORT_FORMATS,
    ONNX,
    OPEN_CLIP,
    TRANSFORMERS,
    check_target,
    choose_format,
    replacing_folder,
)

NAMES = st.text(st.characters(exclude_characters="/\0.", exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(NAMES, st.sampled_from([".onnx", ".ONNX", "", ".v2"]), st.sampled_from([None, *EXPORT_FORMATS]))
def test_the_name_decides_unless_a_format_that_fits_it_is_named(stem, suffix, named):
    target, is_onnx = Path(stem + suffix), suffix.lower() == ".onnx"
    if named is not None and is_onnx != (named == ONNX):
        with pytest.raises(SettingError, match=r"\.onnx|ONNX"):
            choose_format(target, named)
    else:
        assert choose_format(target, named) == (named or (ONNX if is_onnx else OPEN_CLIP))


@pytest.mark.parametrize("name", [".", "..", "/", "model.pt", "model.PTH", "encoder.xml", "a/b.safetensors"])
def test_a_name_that_is_no_export_is_refused(name):
    with pytest.raises(SettingError, match=r"^--export "):
        choose_format(Path(name), None)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_an_interruption_leaves_the_former_export_and_nothing_else(tmp_path, error):
    target = tmp_path / "clip"
    target.mkdir()
    (target / "config.json").write_text("{}")

    def interrupted():
        with replacing_folder(target, force=True) as made:
            (made / "config.json").write_text("half")
            raise error

    with pytest.raises(ScingError if error is OSError else error):
        interrupted()
    assert [file.name for file in tmp_path.iterdir()] == ["clip"]
    assert (target / "config.json").read_text() == "{}"


def test_what_appears_in_the_meantime_is_not_replaced(tmp_path):
    target = tmp_path / "clip"

    def overtaken():
        with replacing_folder(target, force=False) as made:
            (made / "config.json").write_text("ours")
            target.mkdir()
            (target / "config.json").write_text("theirs")

    with pytest.raises(ScingError, match="is there already"):
        overtaken()
    assert (target / "config.json").read_text() == "theirs"
    assert [file.name for file in tmp_path.iterdir()] == ["clip"]


def test_a_folder_has_the_permissions_of_a_usual_one(tmp_path):
    with replacing_folder(tmp_path / "clip", force=False):
        pass
    (tmp_path / "usual").mkdir()
    assert (tmp_path / "clip").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_is_replaced_itself_not_what_it_leads_to(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(ScingError, match="link is not a folder"):
        check_target(tmp_path / "link", TRANSFORMERS, force=True)
