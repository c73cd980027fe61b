"""The wire format of protocol buffers, read and written by hand, as a second opinion on the generated messages.

It shows what a parsed message hides: the order of fields, what is packed, and zeros that are written although they are
defaults. Source: https://protobuf.dev/programming-guides/encoding/.
"""

import math
import struct
from collections import defaultdict
from collections.abc import Iterator

Fields = dict[int, list[int | bytes]]
"""Field number -> its values in order: int for varints, raw bytes for the other wire types."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def read(message: bytes) -> Fields:
    """Raises ValueError: `message` is not a protocol buffer."""
    found: Fields = defaultdict(list)
    for number, value in _fields(memoryview(message)):
        found[number].append(value)
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _LENGTH:
            size, at = _varint(message, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind, -1)
        if size < 0 or at + size > len(message):
            raise ValueError("not a protocol buffer")
        yield key >> 3, bytes(message[at : at + size])
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise ValueError("not a protocol buffer")


def varints(values: list[int | bytes]) -> Iterator[int]:
    """A repeated integer field, which writers may pack into one value or not."""
    for value in values:
        if isinstance(value, int):
            yield value
            continue
        packed, at = memoryview(value), 0
        while at < len(packed):
            number, at = _varint(packed, at)
            yield number


def signed(value: int) -> int:
    """int32 and int64 fields hold negative numbers as two's complement of 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


def last_int(fields: Fields, number: int, default: int = 0) -> int:
    values = fields.get(number)
    return values[-1] if values and isinstance(values[-1], int) else default


def last_bytes(fields: Fields, number: int) -> bytes:
    values = fields.get(number)
    return values[-1] if values and isinstance(values[-1], bytes) else b""


def text(fields: Fields, number: int) -> str:
    return last_bytes(fields, number).decode("utf-8", "surrogateescape")


def messages(fields: Fields, number: int) -> list[Fields]:
    return [read(value) for value in fields.get(number, []) if isinstance(value, bytes)]


def map_items(fields: Fields, number: int) -> dict[str, bytes]:
    """A map<string, message> field: name -> serialized message."""
    return {text(entry, 1): last_bytes(entry, 2) for entry in messages(fields, number)}


def write_varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_int(number: int, value: int) -> bytes:
    return write_varint(number << 3 | _VARINT) + write_varint(value)


def write_bytes(number: int, value: bytes) -> bytes:
    return write_varint(number << 3 | _LENGTH) + write_varint(len(value)) + value


def write_float(number: int, value: float) -> bytes:
    """Beyond the range of float32 it is infinite, as C++ casts it."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        packed = struct.pack("<f", math.copysign(math.inf, value))
    return write_varint(number << 3 | _FIXED32) + packed
