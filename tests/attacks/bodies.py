"""Bodies for TensorFlow Serving's paths that kill or stall parsers, servers or kernels."""

import gzip
import zlib
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

MB = 1_000_000


class Body(NamedTuple):
    """A body, with its Content-Encoding."""

    data: bytes
    coding: str = ""


def instances(text: bytes, member: bytes = b"instances") -> bytes:
    """A document whose one member is `text`."""
    return b'{"%s":%s}' % (member, text)


def many(value: bytes, size: int = 2 * MB) -> bytes:
    """A list of one value again and again, of about that many bytes."""
    count = size // (len(value) + 1)
    return b"[" + (value + b",") * (count - 1) + value + b"]"


def nested(opening: bytes, closing: bytes, levels: int, inner: bytes = b"1") -> bytes:
    """`inner` at that depth."""
    return opening * levels + inner + closing * levels


def names(count: int, name: str = "k%d") -> bytes:
    """An object of so many members."""
    return b"{" + b",".join(b'"%s":1' % (name % at if "%" in name else name).encode() for at in range(count)) + b"}"


def picture(height: int = 224, width: int = 224, channels: int = 3, number: bytes = b"0.5") -> bytes:
    """One picture as nested lists of numbers."""
    pixel = b"[" + b",".join([number] * channels) + b"]"
    row = b"[" + b",".join([pixel] * width) + b"]"
    return b"[" + b",".join([row] * height) + b"]"


def of_rank(rank: int) -> bytes:
    """A list of lists of that rank, two elements each."""
    text = b"1.0"
    for _ in range(rank):
        text = b"[" + text + b"," + text + b"]"
    return text


def ranked(rank: int) -> Body:
    """A body of one value of that rank."""
    return Body(instances(of_rank(rank)))


BODIES: dict[str, Callable[[], Body]] = {
    # depth
    "60,000 brackets": lambda: Body(instances(nested(b"[", b"]", 60_000))),
    "60,000 brackets in inputs": lambda: Body(instances(nested(b"[", b"]", 60_000), b"inputs")),
    "10,000 brackets": lambda: Body(instances(nested(b"[", b"]", 10_000))),
    "1,000 brackets": lambda: Body(instances(nested(b"[", b"]", 1000))),
    "2 MB of closed brackets": lambda: Body(instances(nested(b"[", b"]", MB))),
    "4 MB of [": lambda: Body(b'{"instances":' + b"[" * (4 * MB)),
    "2 MB of ]": lambda: Body(b'{"instances":' + b"]" * (2 * MB)),
    "60,000 objects": lambda: Body(instances(nested(b'{"a":', b"}", 60_000))),
    "2 MB of open objects": lambda: Body(b'{"instances":' + b'{"a":' * (MB * 2 // 5)),
    "lists and objects, 30,000 each": lambda: Body(instances(nested(b'[{"a":', b"}]", 30_000))),
    "base64 in base64, 60,000 deep": lambda: Body(instances(nested(b'{"b64":', b"}", 60_000, b'"aaaa"'))),
    "a signature name of brackets": lambda: Body(b'{"signature_name":%s}' % nested(b"[", b"]", 60_000)),
    "brackets without a member": lambda: Body(nested(b"[", b"]", 60_000)),
    "brackets in a member that nothing reads": lambda: Body(b'{"x":%s,"instances":[1]}' % nested(b"[", b"]", 60_000)),
    # number of values
    "empty lists": lambda: Body(instances(many(b"[]"))),
    "empty objects": lambda: Body(instances(many(b"{}"))),
    "empty strings": lambda: Body(instances(many(b'""'))),
    "lists of empty lists": lambda: Body(instances(many(b"[[]]"))),
    "a million ones": lambda: Body(instances(many(b"1"))),
    "a million numbers": lambda: Body(instances(many(b"0.5"))),
    "numbers in lists of one": lambda: Body(instances(many(b"[1]"))),
    "nulls": lambda: Body(instances(many(b"null"))),
    "200,000 base64 values": lambda: Body(instances(many(b'{"b64":"aaaa"}', 3 * MB))),
    "100,000 names": lambda: Body(instances(b"[" + names(100_000) + b"]")),
    "100,000 names in inputs": lambda: Body(instances(names(100_000), b"inputs")),
    "one name 100,000 times": lambda: Body(instances(b"[" + names(100_000, "a") + b"]")),
    "100,000 members": lambda: Body(names(100_000)),
    "instances 100,000 times": lambda: Body(names(100_000, "instances")),
    # numbers
    "a number of 2,000,000 digits": lambda: Body(instances(b"[" + b"1" * (2 * MB) + b"]")),
    "numbers of 1,000 digits": lambda: Body(instances(many(b"1" * 1000))),
    "numbers of 400 digits behind the point": lambda: Body(instances(many(b"0." + b"3" * 400))),
    "1e999": lambda: Body(instances(many(b"1e999"))),
    "1e-99999999": lambda: Body(instances(many(b"1e-99999999"))),
    "NaN": lambda: Body(instances(many(b"NaN"))),
    "a picture of NaN": lambda: Body(instances(b"[" + picture(number=b"NaN") + b"]")),
    "Infinity": lambda: Body(instances(many(b"-Infinity"))),
    # strings
    "a string of 4 MB": lambda: Body(instances(b'["' + b"a" * (4 * MB) + b'"]')),
    "a string of escapes": lambda: Body(instances(b'["' + b"\\u0041" * 400_000 + b'"]')),
    "lone surrogates": lambda: Body(instances(b'["' + b"\\ud800" * 400_000 + b'"]')),
    "base64 of another length": lambda: Body(instances(b'[{"b64":"' + b"A" * (4 * MB) + b'"}]')),
    "base64 that is none": lambda: Body(instances(b'[{"b64":"' + b"*" * (2 * MB) + b'"}]')),
    "a signature name of 2 MB": lambda: Body(b'{"signature_name":"%s","instances":[1]}' % (b"a" * (2 * MB))),
    "quotes": lambda: Body(instances(b'["' + b'\\"' * MB + b'"]')),
    # no JSON
    "4 MB of blanks": lambda: Body(b" " * (4 * MB) + b"{}"),
    "2 MB of colons": lambda: Body(b'{"instances"' + b":" * (2 * MB)),
    "bytes that are not UTF-8": lambda: Body(instances(b'["' + b"\xff" * MB + b'"]')),
    "NULs": lambda: Body(b"\0" * (2 * MB)),
    "UTF-16": lambda: Body('{"instances":[1]}'.encode("utf-16") * 50_000),
    # codings
    "gzip of 4 MB of [": lambda: Body(gzip.compress(b'{"instances":' + b"[" * (4 * MB)), "gzip"),
    "gzip of 60 MB of [],": lambda: Body(gzip.compress(b'{"instances":[' + b"[]," * (20 * MB), 6), "gzip"),
    "gzip of gzip": lambda: Body(gzip.compress(gzip.compress(bytes(50 * MB))), "gzip, gzip"),
    "gzip of 90 MB of NULs": lambda: Body(gzip.compress(bytes(90 * MB), 6), "gzip"),
    "deflate": lambda: Body(zlib.compress(b'{"instances":' + b"[" * (4 * MB)), "deflate"),
    "gzip that is none": lambda: Body(instances(many(b"1")), "gzip"),
    # shapes
    **{f"rank {rank}": partial(ranked, rank) for rank in range(8)},
    "a picture of 2 x 2": lambda: Body(instances(b"[" + picture(2, 2) + b"]")),
    "a picture of one channel": lambda: Body(instances(b"[" + picture(channels=1) + b"]")),
    "a ragged picture": lambda: Body(instances(b"[" + picture().replace(b"[0.5,0.5,0.5]", b"[0.5]", 1) + b"]")),
    "two pictures of other sizes": lambda: Body(instances(b"[" + picture() + b"," + picture(2, 2) + b"]")),
    "empty lists of every rank": lambda: Body(instances(b"[[],[[]],[[[]]],[[[[]]]]]")),
    "an empty list": lambda: Body(instances(b"[]")),
}
OF_EXAMPLES: dict[str, Callable[[], Body]] = {
    "60,000 brackets": lambda: Body(instances(nested(b"[", b"]", 60_000), b"examples")),
    "4 MB of [": lambda: Body(b'{"examples":' + b"[" * (4 * MB)),
    "features nested 60,000 deep": lambda: Body(instances(b'[{"a":%s}]' % nested(b"[", b"]", 60_000), b"examples")),
    "empty examples": lambda: Body(instances(many(b"{}"), b"examples")),
    "100,000 features": lambda: Body(instances(b"[" + names(100_000) + b"]", b"examples")),
    "a context of brackets": lambda: Body(b'{"context":%s,"examples":[{}]}' % nested(b"[", b"]", 60_000)),
    "gzip of 4 MB of [": lambda: Body(gzip.compress(b'{"examples":' + b"[" * (4 * MB)), "gzip"),
}
"""For classify and regress."""

LARGEST = 32 * 2**20 - 200
LARGE: dict[str, Callable[[], Body]] = {
    "22 pictures of floats": lambda: Body(instances(b"[" + b",".join([picture(number=b"0.501961")] * 22) + b"]")),
    "150 pictures in base64": lambda: Body(
        b'{"signature_name":"serving_bytes","instances":[%s]}'
        % b",".join([b'{"b64":"' + b"AAAA" * (224 * 224) + b'"}'] * 150)
    ),
    "32 MB of ones": lambda: Body(instances(many(b"1", LARGEST))),
    "32 MB of [],": lambda: Body(instances(many(b"[]", LARGEST))),
    "32 MB of [": lambda: Body(b'{"instances":' + b"[" * LARGEST),
    "32 MB of NaN": lambda: Body(instances(many(b"NaN", LARGEST))),
    "32 MB of names": lambda: Body(instances(b"[" + names(2_600_000) + b"]")),
    "32 MB of strings": lambda: Body(instances(many(b'"a"', LARGEST))),
    "a string of 32 MB": lambda: Body(instances(b'["' + b"a" * LARGEST + b'"]')),
}
"""Up to the limit of 32 MiB. The first two are requests that work."""
