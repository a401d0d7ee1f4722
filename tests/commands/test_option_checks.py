"""Text forms of options, and which options go with which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.commands.option_checks import check_machine, only_with, parse_box, whole_numbers
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
