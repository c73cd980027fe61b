import gzip
import zlib

import pytest

from serving.standin.http.predictions import unpack


def test_a_body_is_unpacked_where_the_header_mentions_gzip() -> None:
    assert unpack(gzip.compress(b"abc", mtime=0), "x-gzip, identity") == b"abc"
    assert unpack(b"abc", "") == unpack(b"abc", "deflate") == b"abc"
    assert unpack(b"", "gzip") == b""


@pytest.mark.parametrize(
    "body",
    [
        b"abc",
        b"\x1f\x8b" + b"\0" * 30,
        gzip.compress(b"abc", mtime=0)[:-1],
        gzip.compress(b"abc", mtime=0) + b"x",
        gzip.compress(b"abc", mtime=0) + gzip.compress(b"def", mtime=0),
        gzip.compress(b"abc", mtime=0)[:-8] + bytes(8),
        zlib.compress(b"abc"),
        gzip.compress(b"abc", mtime=0)[:-4] + (101 << 20).to_bytes(4, "little"),
    ],
)
def test_what_cannot_be_unpacked_counts_as_empty(body: bytes) -> None:
    assert unpack(body, "gzip") == b""


def test_a_body_may_unpack_to_a_multiple_of_its_size_and_no_more() -> None:
    numbers = ",".join(str(at * 7919 % 256) for at in range(224 * 224 * 3)).encode()
    packed = gzip.compress(numbers)
    assert unpack(packed, "gzip") == numbers
    assert unpack(gzip.compress(bytes(1 << 20)), "gzip") == bytes(1 << 20)
    assert unpack(gzip.compress(bytes((1 << 20) + 1)), "gzip") == b""
    assert unpack(gzip.compress(b'{"instances":' + b"[" * 4_000_000), "gzip") == b""


def test_a_body_is_unpacked_once() -> None:
    inner = gzip.compress(b"abc", mtime=0)
    assert unpack(gzip.compress(inner, mtime=0), "gzip, gzip") == inner


def test_a_bomb_is_not_unpacked_beyond_the_size_it_announces() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    assert unpack(bomb[:-4] + (3).to_bytes(4, "little"), "gzip") == b""
