"""Reads the fields of a protobuf message, within limits and without a schema.

See https://protobuf.dev/programming-guides/encoding. Groups, which ONNX does not use, are an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LONGEST_VARINT, LONGEST_TAG = 10, 5  # bytes
MOST_FIELDS = 4_000_000  # of all messages together; a large ONNX model has some 100,000

Value = int | memoryview


@dataclasses.dataclass(slots=True)
class FieldReader:
    """Reads messages, and counts the fields that may still be read: no file keeps the program busy for long."""

    left: int = MOST_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """Yield number and value of each field of a message: a whole number, or bytes that are not copied.

        Raises:
            ValueError: If the bytes are not a message, or there are too many fields.
        """
        place, end = 0, len(message)
        while place < end:
            self.left -= 1
            if self.left < 0:
                raise ValueError(f"it has more than {MOST_FIELDS:,} fields")
            start = place
            tag, place = _varint(message, place)
            # Other readers drop what exceeds 32 bits, so such a field would be another one to them.
            if tag >= 2**32 or place - start > LONGEST_TAG:
                raise ValueError("a field has a number that is too large")
            number, kind = tag >> 3, tag & 7
            if number == 0:
                raise ValueError("a field has the number 0")
            value: Value
            if kind == VARINT:
                value, place = _varint(message, place)
            elif kind in {BYTES, FIXED32, FIXED64}:
                size = 4 if kind == FIXED32 else 8
                if kind == BYTES:
                    size, place = _varint(message, place)
                if size > end - place:
                    raise ValueError("it is cut short")
                value, place = message[place : place + size], place + size
            else:
                raise ValueError(f"a field has the unknown type {kind}")
            yield number, value

    def messages(self, message: memoryview, number: int) -> Iterator[memoryview]:
        """Yield the messages or texts in all fields of one number.

        Raises:
            ValueError: As for `fields`, or if such a field is a number.
        """
        for found, value in self.fields(message):
            if found == number:
                yield as_bytes(value)


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return a whole number of variable length, and the place after it."""
    value = 0
    for step, byte in enumerate(data[place : place + LONGEST_VARINT]):
        value |= (byte & 127) << (7 * step)
        if byte < 128:
            return value & (2**64 - 1), place + step + 1
    raise ValueError("a number is cut short or too long")


def as_bytes(value: Value) -> memoryview:
    """Return a field's bytes.

    Raises:
        ValueError: If it is a number.
    """
    if isinstance(value, int):
        raise ValueError("a number stands where a message belongs")  # noqa: TRY004 - the file is at fault
    return value


def as_number(value: Value) -> int:
    """Return a field's number; one of 64 bits is signed.

    Raises:
        ValueError: If it is a message.
    """
    if not isinstance(value, int):
        raise ValueError("a message stands where a number belongs")  # noqa: TRY004
    return value - 2**64 if value >= 2**63 else value


def as_text(value: Value) -> str:
    """Return a field's text; bytes that are not UTF-8 are replaced.

    Raises:
        ValueError: If it is a number.
    """
    return str(as_bytes(value), "utf-8", "replace")
