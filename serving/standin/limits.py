"""Bounds on one request, so that none costs much time or memory (docs/decisions/0044-bounds-of-the-stand-in.md).

The real server has none of them. Each is above what a batch of pictures needs, in base64 or as nested numbers.
"""

BODY_BYTES = 64 << 20
"""Of a request's body over REST, as sent and unpacked, of a message over gRPC, and of the examples made of either."""
CHUNKS = 1 << 14
"""Of one chunked body: their mean size is 4 KiB at the limit of the body. One costs about 5 us in the event loop."""
TENSOR_BYTES = 64 << 20
"""Of one tensor over gRPC, whose message of 30 bytes may ask for any number of copies of its last value."""
UNPACKED_TIMES = 32
"""A gzip body unpacks to at most so many times its size; JSON of a picture's numbers to 3 to 12 times."""
UNPACKED_FREE_BYTES = 1 << 20
"""Up to this size a gzip body may unpack to any multiple of its own."""

LEVELS = 4096
"""Of nesting in JSON. From 255 on, both servers refuse it as a tensor; the real server dies of 60,000."""
VALUES = 1 << 21
"""In JSON, lists and objects included: ten pictures of 224 x 224 x 3 numbers. One costs about 60 ns."""
CONTAINERS = 1 << 18
"""Lists and objects in JSON: five pictures of 224 x 224 x 3 numbers. One costs about 300 ns."""
STRINGS = 1 << 16
"""In JSON, names included; and in a tensor over gRPC. One costs about 1 us."""
NAMES = 1 << 14
"""Objects in JSON, and members of all of them together. One costs about 4 us."""

SLOW_BYTES = 8 << 20
"""Length of JSON that orjson does not read: errors, NaN, Infinity, repeated names, strings that are not UTF-8."""
SLOW_STEPS = 1 << 14
"""Values, names and escapes in such JSON, and elements looked at to name the first fault of an irregular value.
One costs 2 to 5 us."""

ERROR_CHARACTERS = 1 << 17
"""Of an error text. The names in it are the caller's."""
