"""The reader of protobuf messages: what was written is read, and nothing else than a ValueError comes of garbage."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.encoders.graph_files.protobuf import FieldReader, as_bytes, as_number, as_text

NUMBERS = st.integers(-(2**63), 2**63 - 1)
FIELDS = st.lists(st.tuples(st.integers(1, 2**20), NUMBERS | st.binary(max_size=50)), max_size=12)


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def written(fields: list[tuple[int, int | bytes]]) -> bytes:
    """Write a message as the encoding's description says."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        else:
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
    return b"".join(parts)


@given(FIELDS)
def test_what_was_written_is_read(fields: list[tuple[int, int | bytes]]) -> None:
    found = [
        (number, as_number(value) if isinstance(value, int) else bytes(as_bytes(value)))
        for number, value in FieldReader().fields(memoryview(written(fields)))
    ]
    assert found == fields


@given(FIELDS, st.integers(0, 400), st.binary(max_size=6))
def test_damaged_messages_end_in_a_value_error_or_are_read(fields, place: int, noise: bytes) -> None:
    content = written(fields)
    damaged = content[:place] + noise + content[place + len(noise) :]
    with contextlib.suppress(ValueError):
        values = [value for _, value in FieldReader().fields(memoryview(damaged)) if not isinstance(value, int)]
        assert sum(map(len, values)) <= len(damaged)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\x0a\x05abc", "it is cut short"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "it is cut short"),
        (b"\x08" + b"\xff" * 11, "a number is cut short or too long"),
        # the field 1 to readers that drop bits above 32, and a field 1 in six bytes
        (varint(1 << 32 | 1 << 3) + b"\x01", "a field has a number that is too large"),
        (b"\x88\x80\x80\x80\x80\x00\x01", "a field has a number that is too large"),
        (b"\x08", "a number is cut short or too long"),
        (b"\x0b\x0c", "a field has the unknown type 3"),
        (b"\x02\x00", "a field has the number 0"),
        (b"\x0d\x00", "it is cut short"),
    ],
)
def test_each_fault_is_named(content: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        list(FieldReader().fields(memoryview(content)))


def test_the_number_of_fields_is_limited() -> None:
    reader = FieldReader(left=10)
    assert len(list(reader.fields(memoryview(b"\x08\x01" * 6)))) == 6
    with pytest.raises(ValueError, match="more than 4,000,000 fields"):
        list(reader.fields(memoryview(b"\x08\x01" * 6)))


def test_values_have_types() -> None:
    with pytest.raises(ValueError, match="a number stands where a message belongs"):
        as_bytes(5)
    with pytest.raises(ValueError, match="a message stands where a number belongs"):
        as_number(memoryview(b"a"))
    assert as_text(memoryview(b"\xff\xfea")) == "\ufffd\ufffda"
    assert list(FieldReader().messages(memoryview(written([(1, b"a"), (2, b"b"), (1, b"c")])), 1)) == [b"a", b"c"]
