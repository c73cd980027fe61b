"""What runs in a decode process: one picture after another, under limits that the kernel enforces.

A decode process ends without the gateway's help: a timer counts the CPU time of each picture and kills the process,
memory has a ceiling, files cannot be written, and the kernel kills the process when the fork server ends.
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
"""Memory for colour transforms, the tables of the resize, and Python itself."""
FILE_COPIES = 4
"""Most copies of the uploaded file in memory at once: as received, and within parser and decoder."""


def run(jobs: socket.socket, limits: Limits, *, forkserver: int, share_bytes: int, nice: int) -> None:
    """Answer jobs until the gateway closes the socket.

    Args:
        jobs: the socket to the gateway.
        forkserver: pid of the parent.
        share_bytes: memory for decoded pixels.
        nice: added to the nice value.
    """
    die_with(forkserver)
    _restrict(share_bytes + FILE_COPIES * limits.max_upload_bytes + BESIDE_PIXELS_BYTES, nice)
    jobs.setblocking(True)
    while head := jobs.recv(JOB.size, socket.MSG_WAITALL):
        length, *share = JOB.unpack(head)
        data = jobs.recv(length, socket.MSG_WAITALL) if length else b""
        if len(data) < length:  # the gateway has closed the socket
            return
        signal.setitimer(signal.ITIMER_PROF, limits.cpu_s)  # it sends SIGPROF, which kills the process
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
    except Exception:  # noqa: BLE001 # a defect of ours, which the gateway logs
        defect = GatewayError("The failure has been logged under this request id.")
        defect.__cause__ = RuntimeError(traceback.format_exc()[-1900:])
        return _framed(REFUSED, refusal(defect))
    return _framed(DECODED, done.rgb, ALL_FORMATS.index(done.format), done.width, done.height)


def _framed(
    kind: int, payload: bytes | bytearray | memoryview, format_at: int = 0, width: int = 0, height: int = 0
) -> bytes:
    return b"".join((ANSWER.pack(kind, format_at, width, height, len(payload)), payload))


def _restrict(memory_bytes: int, nice: int) -> None:
    """Set the nice value and the kernel's limits. Best effort: macOS has no limit on memory."""
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
