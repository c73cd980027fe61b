"""The messages between the gateway, the fork server and the decode processes: fixed sizes, no pickle.

Each decode process has its own socket and at most one job: the gateway sends a job and receives an answer. The fork
server has a control socket: the gateway sends orders (an order to fork carries the new process's socket) and receives
events.
"""

import struct
from typing import NamedTuple

from gateway.errors import PICTURE_ERRORS, GatewayError, LargerShareError
from gateway.imaging import ALL_FORMATS, RGB_BYTES, Decoded

JOB = struct.Struct("<IQd")
"""Length of the file that follows; memory in bytes and CPU time in seconds set aside for it; 0 s: no bound."""
ANSWER = struct.Struct("<BBIII")
"""Kind, index of the format in ALL_FORMATS, width, height, length of the payload that follows."""
DECODED, REFUSED, LARGER = range(3)
"""Payload: the pixels; slug, detail and cause of the error, separated by NUL; memory needed in bytes, 8 bytes."""
LONGEST_TEXT_BYTES = 8_192
MOST_PAYLOAD_BYTES = max(RGB_BYTES, LONGEST_TEXT_BYTES)

ORDER = struct.Struct("<BBIQ")
"""Kind, nice value, pid, memory in bytes that the process may take for its job."""
FORK, KILL = range(2)
EVENT = struct.Struct("<BIi")
"""Kind, pid, status. Status of ENDED: as in subprocess, -11 for signal 11. Of FORKED: 0, or the errno and no pid."""
READY, FORKED, ENDED = range(3)


class Limits(NamedTuple):
    """What each decode process is started with."""

    formats: tuple[str, ...]
    max_decoded_bytes: int
    max_upload_bytes: int
    cpu_s: float
    """CPU time for one picture; the kernel kills the process that takes more."""


class Share(NamedTuple):
    """What is set aside for decoding one picture, compared with the estimate from its header."""

    memory_bytes: int
    cpu_s: float = 0
    """0: no bound. `Limits.cpu_s` bounds the time that decoding takes in fact."""


class ForeignAnswerError(Exception):
    """A decode process sent what `worker` never sends. It may have been taken over: it must not be used again."""


class DistantError(Exception):
    """The cause of a refusal, as text from a decode process."""


def refusal(error: GatewayError) -> bytes:
    """The payload of an answer that refuses a picture."""
    cause = "" if error.__cause__ is None else f"{type(error.__cause__).__name__}: {error.__cause__}"
    text = "\0".join(part.replace("\0", "?") for part in (error.slug, error.detail[:1000], cause[:2000]))
    return text.encode(errors="replace")[:LONGEST_TEXT_BYTES]


def outcome(
    kind: int, format_at: int, width: int, height: int, payload: memoryview, *, max_decoded_bytes: int
) -> Decoded:
    """The picture in a decode process's answer.

    Raises:
        GatewayError: the picture was refused.
        LargerShareError: it needs more than was set aside, but no more than `max_decoded_bytes`.
        ForeignAnswerError: `worker` sends no such answer.
    """
    if kind == DECODED and len(payload) == RGB_BYTES and format_at < len(ALL_FORMATS) and width and height:
        return Decoded(payload, ALL_FORMATS[format_at], width, height)
    if kind == REFUSED:
        raise _as_error(bytes(payload))
    if kind == LARGER and len(payload) == 8 and (needed := int.from_bytes(payload, "little")) <= max_decoded_bytes:
        raise LargerShareError(needed)
    raise ForeignAnswerError(f"kind {kind}, {width} x {height} pixels, {len(payload)} bytes")


def _as_error(text: bytes) -> GatewayError:
    slug, _, rest = text.decode(errors="replace").partition("\0")
    detail, _, cause = rest.partition("\0")
    if slug not in _REFUSALS or len(text) > LONGEST_TEXT_BYTES:
        raise ForeignAnswerError(f"a refusal by {slug[:40]!r}, {len(text)} bytes")
    error = _REFUSALS[slug](detail)
    error.__cause__ = DistantError(cause) if cause else None
    return error


_KINDS: tuple[type[GatewayError], ...] = (GatewayError, *PICTURE_ERRORS)
_REFUSALS = {kind.slug: kind for kind in _KINDS}
