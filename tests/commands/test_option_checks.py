"""Text forms of options, and which options go with which."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scing_cli.commands.option_checks import (
    check_machine,
    only_with,
    parse_box,
    paths_given,
    standard_input,
    whole_numbers,
)
from scing_cli.core.errors import SettingError

NUMBERS = st.lists(st.integers(-(10**9), 10**9))


@given(NUMBERS, st.sampled_from([",", ", ", " ,"]))
def test_whole_numbers_are_read_back(numbers, comma):
    assert whole_numbers("--milestones", comma.join(map(str, numbers))) == tuple(numbers)


@given(NUMBERS, st.integers(0, 6))
def test_a_wrong_number_of_numbers_is_refused(numbers, count):
    text = ",".join(map(str, numbers))
    if len(numbers) == count:
        assert len(whole_numbers("--box", text, count=count)) == count
        return
    with pytest.raises(SettingError) as caught:
        whole_numbers("--box", text, count=count)
    assert str(caught.value) == f"--box {text}: must be {count} whole numbers separated by commas."


@given(st.text())
def test_any_text_is_read_or_refused_with_its_option(text):
    try:
        numbers = whole_numbers("--milestones", text)
    except SettingError as error:
        assert str(error) == f"--milestones {text}: must be whole numbers separated by commas, as in 30,50."  # noqa: PT017
    else:
        assert all(isinstance(number, int) for number in numbers)


@pytest.mark.parametrize("text", ["30,", ",", "30;50", "3.5", "a,b", "0x10", "1e3"])
def test_no_whole_numbers(text):
    with pytest.raises(SettingError, match="whole numbers separated by commas, as in 30,50"):
        whole_numbers("--milestones", text)


def test_a_box():
    assert parse_box(None) is None
    assert parse_box("40,30,64,128") == (40, 30, 64, 128)
    assert parse_box(" 0, 0, 1, 2 ") == (0, 0, 1, 2)


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "", "a,b,c,d"])
def test_no_box(text):
    with pytest.raises(SettingError, match=f"--box {text}: must be"):
        parse_box(text)


@given(st.dictionaries(st.sampled_from(["identities", "test_identities", "cameras"]), st.none() | st.integers(1, 9)))
def test_options_of_another_option_need_it(options):
    picked = {name: value for name, value in options.items() if value is not None}
    assert only_with("--synthetic", wanted=True, given=options) == picked
    if not picked:
        assert only_with("--synthetic", wanted=False, given=options) == {}
        return
    with pytest.raises(SettingError, match=r"ha(s|ve) no effect without --synthetic") as caught:
        only_with("--synthetic", wanted=False, given=options)
    assert all(f"--{name.replace('_', '-')}" in str(caught.value) for name in picked)


def test_the_machines_options_are_checked_where_they_have_no_effect():
    check_machine("auto", "auto", None, 1)
    check_machine("cuda", "bf16", 1, 64)
    for wrong, message in (
        (("tpu", "auto", None, 64), "--device 'tpu' is unknown.\nKnown: auto, cpu, cuda."),
        (("cpu", "fp8", None, 64), "--precision 'fp8' is unknown.\nKnown: auto, fp32, bf16."),
        (("cpu", "auto", 0, 64), "--workers 0: must be at least 1."),
        (("cpu", "auto", 2, -1), "--batch-size -1: must be at least 1."),
    ):
        with pytest.raises(SettingError) as caught:
            check_machine(*wrong)
        assert str(caught.value) == message


NAME = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff/~"), min_size=1)

NAME_SIGNS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff/~")


@example(lists=[["\u0101"]], end="\n", encoding="utf-16")  # its first line has no zero byte before its end
@given(
    lists=st.lists(st.lists(NAME.filter(str.strip), min_size=1, max_size=4), min_size=1, max_size=3),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_list_on_standard_input_may_have_byte_order_marks_and_any_line_ends(lists, end, encoding):
    """Lists that are joined, each with its mark, are read too; UTF-16 has one mark at its start."""
    texts = [end.join([*names, ""]) for names in lists]
    content = "".join(texts).encode(encoding) if encoding == "utf-16" else b"".join(t.encode(encoding) for t in texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        found = paths_given([Path("-")], standard_input())
    assert found == [Path(name) for names in lists for name in names]


def test_standard_input_without_bytes_may_have_a_byte_order_mark(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufeffa.jpg\r\nb.jpg\n"))
    assert paths_given([Path("-")], standard_input()) == [Path("a.jpg"), Path("b.jpg")]


@given(names=st.lists(st.text(NAME_SIGNS, min_size=2).filter(str.strip), min_size=1, max_size=4), closed=st.booleans())
def test_a_list_with_zero_bytes_between_the_paths_is_read(names, closed):
    """As `find -print0` writes it; a file name may have a line end."""
    content = "\0".join([*names, ""] if closed or len(names) == 1 else names).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert paths_given([Path("-")], standard_input()) == [Path(name) for name in names]


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff\0\x10JFIF\0\x01", b"a\0.\0j\0", b"\0"]
)
def test_bytes_that_are_no_list_are_refused(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(SettingError, match=r"standard input is not a list of paths"):
        paths_given([Path("-")], standard_input())


def test_a_list_may_name_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths_given([Path("-")], ["~/a.jpg\n"]) == [tmp_path / "a.jpg"]


def test_half_a_list_in_utf_16_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("a.jpg\n".encode("utf-16")[:-1])))
    with pytest.raises(SettingError, match=r"standard input is not a list of paths"):
        paths_given([Path("-")], standard_input())
