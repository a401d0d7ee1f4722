"""Numbers of the command line: read as written, or refused in the program's words with option and value."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.app import COMMANDS, _LazyCommand
from scing_cli.commands.typed import read_number
from scing_cli.core.errors import SettingError


@given(st.integers())
def test_whole_numbers_are_read_back(number):
    assert read_number("--n", str(number), int, least=None, most=None) == number


@given(st.floats())
def test_numbers_are_read_back(number):
    read = read_number("--n", repr(number), float, least=None, most=None)
    assert read == number or (math.isnan(read) and math.isnan(number))


@given(st.floats(), st.floats(-10, 10), st.floats(0, 10))
def test_a_number_out_of_range_is_refused(number, least, span):
    most = least + span
    if least <= number <= most:
        assert read_number("--n", repr(number), float, least=least, most=most) == number
        return
    with pytest.raises(SettingError) as caught:
        read_number("--n", repr(number), float, least=least, most=most)
    assert caught.value.what == f"--n {number!r}: must be between {least:g} and {most:g}."


@pytest.mark.parametrize(
    ("text", "kind", "least", "most", "message"),
    [
        ("0", int, 1, None, "-k 0: must be at least 1."),
        ("nan", float, 0, None, "-k nan: must be at least 0."),
        ("7", int, None, 6, "-k 7: must be at most 6."),
        ("many", int, None, None, "-k many: must be a whole number."),
        ("1.5", int, None, None, "-k 1.5: must be a whole number."),
        ("fast", float, None, None, "-k fast: must be a number."),
        ("", float, None, None, "-k '': must be a number."),
        ("\x1b[31m", int, None, None, "-k \\x1b[31m: must be a whole number."),
    ],
)
def test_the_message_has_option_and_value(text, kind, least, most, message):
    with pytest.raises(SettingError) as caught:
        read_number("-k", text, kind, least=least, most=most)
    assert str(caught.value) == message


def numbers():
    """Yield every command with each of its options that takes a number."""
    for name, texts in COMMANDS.items():
        for option in _LazyCommand(name, *texts).load().params:
            if "<int>" in str(option.metavar) or "<float>" in str(option.metavar):
                yield name, option.opts[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_number_of_every_command_is_read_so(name):
    own = [option for command, option in numbers() if command == name]
    assert {"--workers", "--seed"} <= set(own)
    for option in own:
        with pytest.raises(SettingError, match=rf"^{option} many: must be a (whole )?number\.$"):
            _LazyCommand(name, *COMMANDS[name]).make_context("scing", [option, "many"])
