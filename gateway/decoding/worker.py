"""What runs in a decode process: one picture after the other, under limits that the kernel keeps.

Nothing here needs the gateway's help to end: a timer counts the CPU time of each picture and kills, memory has
a ceiling, files cannot be written, and the death of the fork server is its own.
"""

import os
import resource
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from gateway.decoding.protocol import ANSWER, DECODED, JOB, LARGER, REFUSED, Limits, Share, refusal
from gateway.errors import GatewayError, LargerShareError
from gateway.imaging import ALL_FORMATS, decode
from gateway.process.orphans import die_with

BESIDE_PIXELS_BYTES = 48 * 1024 * 1024
"""Colour transforms, the resize's tables, Python itself."""
FILE_COPIES = 4
"""At most that many of the uploaded file lie in memory at once: as received, and within parser and decoder."""


def run(jobs: socket.socket, limits: Limits, *, forkserver: int, share_bytes: int, nice: int) -> None:
    """The whole life of a decode process."""
    die_with(forkserver)
    _restrict(share_bytes + FILE_COPIES * limits.max_upload_bytes + BESIDE_PIXELS_BYTES, nice)
    jobs.setblocking(True)
    while head := jobs.recv(JOB.size, socket.MSG_WAITALL):
        length, *share = JOB.unpack(head)
        data = jobs.recv(length, socket.MSG_WAITALL) if length else b""
        if len(data) < length:  # the gateway has closed the socket
            return
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)  # its signal, SIGPROF, kills
        answer = _answer(data, limits, Share(*share))
        signal.setitimer(signal.ITIMER_PROF, 0)
        del data
        jobs.sendall(answer)


def _answer(data: bytes, limits: Limits, share: Share) -> bytes:
    try:
        done = decode(
            data,
            formats=limits.formats,  # type: ignore[arg-type] # checked when the settings were read
            max_decoded_bytes=limits.max_decoded_bytes,
            share_bytes=share.memory_bytes,
            share_s=share.cpu_s,
        )
    except LargerShareError as larger:
        return _framed(LARGER, larger.needed_bytes.to_bytes(8, "little"))
    except GatewayError as error:
        return _framed(REFUSED, refusal(error))
    except Exception:  # noqa: BLE001 # a defect of ours: the gateway logs it
        defect = GatewayError("The failure has been logged under this request id.")
        defect.__cause__ = RuntimeError(traceback.format_exc()[-1900:])
        return _framed(REFUSED, refusal(defect))
    return _framed(DECODED, done.rgb, ALL_FORMATS.index(done.format), done.width, done.height)


def _framed(
    kind: int, payload: bytes | bytearray | memoryview, format_at: int = 0, width: int = 0, height: int = 0
) -> bytes:
    return b"".join((ANSWER.pack(kind, format_at, width, height, len(payload)), payload))


def _restrict(memory_bytes: int, nice: int) -> None:
    """Best effort: macOS has no ceiling on memory."""
    os.nice(nice)
    ceilings = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}  # a core dump would hold the picture
    if sys.platform == "linux":
        ceilings[resource.RLIMIT_AS] = _address_space_bytes() + memory_bytes
    for kind, ceiling in ceilings.items():
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (ceiling, ceiling))


def _address_space_bytes() -> int:
    statm = Path("/proc/self/statm").read_text(encoding="ascii")
    return int(statm.split()[0]) * resource.getpagesize()
