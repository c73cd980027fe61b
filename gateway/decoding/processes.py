"""The gateway's end: it starts the fork server, orders decode processes from it, and learns how each of them ended."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from contextvars import Context
from pathlib import Path

import structlog

from gateway.admission import refusal
from gateway.decoding.protocol import (
    ANSWER,
    ENDED,
    EVENT,
    FORK,
    FORKED,
    JOB,
    KILL,
    MOST_PAYLOAD_BYTES,
    ORDER,
    READY,
    ForeignAnswerError,
    Limits,
    Share,
    outcome,
)
from gateway.errors import (
    RETRY_AFTER_S,
    DecoderCrashedError,
    DecoderLostError,
    GatewayError,
    ImageTooComplexError,
    LargerShareError,
)
from gateway.imaging import RGB_BYTES, Decoded
from gateway.observe import metrics
from gateway.process import children
from gateway.process.files import none_left
from gateway.process.memory import DECODERS_ENVIRONMENT

START_WITHIN_S = 30.0
FORK_WITHIN_S = 5.0
STOP_WITHIN_S = 5.0
END_WITHIN_S = 1.0
"""From the end of a process's socket to its exit status; 1 ms in fact."""
PROJECT = Path(__file__).resolve().parents[2]
BUFFER_BYTES = 512 * 1024
"""Send buffer of each socket: an answer of 150 KB then fits into one write."""

log = structlog.get_logger()


class DecodeProcess:
    """The gateway's end of one decode process. It has one job at a time; a job without a sound answer is its last."""

    def __init__(
        self, pid: int, jobs: socket.socket, ended: "asyncio.Future[int | None]", limits: Limits, *, timeout_s: float
    ) -> None:
        self.pid = pid
        self.idle = True
        """It may have another job: the last one, if any, ended with a sound answer."""
        self._jobs = jobs
        self._ended = ended
        self._limits = limits
        self._timeout_s = timeout_s

    async def decode(self, data: bytes, share: Share) -> Decoded:
        """Decode one picture.

        Raises:
            LargerShareError: the picture needs more than its share.
            GatewayError: the picture is refused, or the process failed; the error is for the picture's sender.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._decode(data, share)
        except TimeoutError as cause:
            metrics.DECODERS_ENDED.labels("stalled").inc()
            raise lost() from cause
        except ForeignAnswerError as cause:
            metrics.DECODERS_ENDED.labels("foreign").inc()
            raise _crashed() from cause
        except (OSError, EOFError) as cause:
            raise self._error_of(await self._status(within_s=END_WITHIN_S)) from cause
        except asyncio.CancelledError:
            metrics.DECODERS_ENDED.labels("abandoned").inc()
            raise

    def _error_of(self, status: int | None) -> GatewayError:
        """The error for the sender of the picture during which the process ended with that status."""
        if status == -signal.SIGPROF:
            metrics.DECODERS_ENDED.labels("cpu").inc()
            return ImageTooComplexError(
                f"Decoding this picture takes more than {self._limits.cpu_s:g} s of computing time: "
                "send a smaller version, saved as a plain JPEG."
            )
        if status in (None, -signal.SIGKILL):  # the system ran out of memory, or an operator killed it
            metrics.DECODERS_ENDED.labels("killed").inc()
            return lost()
        metrics.DECODERS_ENDED.labels("crashed").inc()
        return _crashed()

    async def _decode(self, data: bytes, share: Share) -> Decoded:
        """The same; where the process failed, the error says how.

        Raises:
            OSError, EOFError: it has ended.
            ForeignAnswerError: it sent no valid answer.
        """
        self.idle = False
        await self._send(JOB.pack(len(data), *share), data)
        room = bytearray(ANSWER.size + RGB_BYTES)
        received = await self._receive(room, 0, ANSWER.size)
        kind, format_at, width, height, length = ANSWER.unpack_from(room)
        if length > MOST_PAYLOAD_BYTES:
            raise ForeignAnswerError(f"{length} bytes announced")
        whole = ANSWER.size + length
        received = await self._receive(room, received, whole)
        if received > whole:
            raise ForeignAnswerError(f"{received - whole} bytes behind the answer")
        payload = memoryview(room)[ANSWER.size : whole]
        try:
            decoded = outcome(kind, format_at, width, height, payload, max_decoded_bytes=self._limits.max_decoded_bytes)
        except (GatewayError, LargerShareError):  # a refusal is a sound answer
            self.idle = True
            raise
        self.idle = True
        return decoded

    async def _send(self, head: bytes, data: bytes) -> None:
        """Send a job, mostly in one system call; what does not fit is sent as the process reads."""
        try:
            sent = self._jobs.sendmsg([head, data])
        except BlockingIOError:
            sent = 0
        if sent < len(head):
            await asyncio.get_running_loop().sock_sendall(self._jobs, head[sent:])
            sent = len(head)
        if sent < len(head) + len(data):
            await asyncio.get_running_loop().sock_sendall(self._jobs, memoryview(data)[sent - len(head) :])

    async def _receive(self, room: bytearray, received: int, wanted: int) -> int:
        loop = asyncio.get_running_loop()
        while received < wanted:
            count = await loop.sock_recv_into(self._jobs, memoryview(room)[received:])
            if count == 0:
                raise EOFError
            received += count
        return received

    def alive(self) -> bool:
        """The socket is open and nothing has arrived on it, as it must be between two jobs."""
        try:
            self._jobs.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def _status(self, *, within_s: float) -> int | None:
        """How the process ended: the status as in subprocess, -11 for signal 11; None if it is not known in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                return await asyncio.shield(self._ended)
        return None

    def close(self) -> None:
        """Close the socket. The process then ends by itself, unless it is stuck in a job."""
        self._jobs.close()


class Processes:
    """The fork server and the decode processes that it has forked."""

    def __init__(self, limits: Limits, *, timeout_s: float) -> None:
        """`timeout_s`: wall-clock time for one picture; `limits` bounds the CPU time."""
        self._limits = limits
        self._timeout_s = timeout_s
        self._starting = asyncio.Lock()
        self._forkserver: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        """None while no fork server runs."""
        self._ready: asyncio.Future[None]
        self._pending_forks: deque[asyncio.Future[int]] = deque()
        """Forks that were ordered and not yet reported, oldest first."""
        self._alive: dict[int, asyncio.Future[int | None]] = {}
        """For the pid of each decode process, a future of its exit status."""

    async def __aenter__(self) -> "Processes":
        await self._started()
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._disconnect()
        await self._wait_until_stopped()

    async def fork(self, *, share_bytes: int, nice: int = 0) -> DecodeProcess:
        """Fork a decode process; it takes a few milliseconds.

        Args:
            share_bytes: memory that decoding may take in it.
            nice: 0 to 19, added to the nice value.

        Raises:
            DecoderLostError: the system refused to fork, or the fork server did not answer.
            OverloadedError: no file descriptor is free.
        """
        try:
            control = await self._started()
            ours, theirs = _pair()
        except OSError as cause:
            raise _not_started(cause) from cause
        ordered = asyncio.get_running_loop().create_future()
        try:
            with theirs:
                socket.send_fds(control, [ORDER.pack(FORK, nice, 0, share_bytes)], [theirs.fileno()])
            self._pending_forks.append(ordered)
            async with asyncio.timeout(FORK_WITHIN_S):
                pid = await ordered
        except (OSError, TimeoutError) as cause:
            ours.close()
            self._disconnect()
            raise lost() from cause
        except BaseException:  # the caller was cancelled; the new process finds its socket closed and ends
            ours.close()
            raise
        return DecodeProcess(pid, ours, self._alive[pid], self._limits, timeout_s=self._timeout_s)

    def kill(self, process: DecodeProcess) -> None:
        """Kill a decode process at once, through the fork server: it knows whether the pid is still in use."""
        process.close()
        if self._control is not None and process.pid in self._alive:
            with suppress(OSError):
                self._control.send(ORDER.pack(KILL, 0, process.pid, 0))

    async def _started(self) -> socket.socket:
        """The control socket of the fork server, which is started if none runs."""
        if self._control is None:
            async with self._starting:
                if self._control is None:
                    await self._wait_until_stopped()
                    # In an empty context: log lines about the fork server carry no request id.
                    await asyncio.create_task(self._start(), context=Context())
        assert self._control is not None
        return self._control

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = _pair()
        start = {"control": theirs.fileno(), "parent": os.getpid(), "limits": self._limits._asdict()}
        try:
            with theirs:
                self._forkserver = await children.start(
                    *(sys.executable, "-m", "gateway.decoding.forkserver", json.dumps(start)),
                    cwd=PROJECT,
                    env={**os.environ, **DECODERS_ENVIRONMENT},
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C in the terminal is for the gateway alone: requests finish first
                )
        except BaseException:
            ours.close()
            raise
        self._control, self._ready = ours, loop.create_future()
        loop.add_reader(ours, self._receive_event, ours)
        try:
            async with asyncio.timeout(START_WITHIN_S):
                await self._ready
        except BaseException:
            self._disconnect()
            await self._wait_until_stopped()
            raise
        log.debug("fork server started", pid=self._forkserver.pid)

    def _receive_event(self, control: socket.socket) -> None:
        """Read one event of the fork server. When it has ended, all that it forked has ended too."""
        try:
            event = control.recv(EVENT.size, socket.MSG_WAITALL)
        except BlockingIOError:
            return
        except OSError:
            event = b""
        if len(event) < EVENT.size:
            log.error("fork server died")
            self._disconnect()
            return
        kind, pid, status = EVENT.unpack(event)
        if kind == READY:
            self._ready.set_result(None)
        elif kind == FORKED:
            self._forked(pid, status)
        elif kind == ENDED:
            self._alive.pop(pid).set_result(status)

    def _forked(self, pid: int, status: int) -> None:
        if pid:
            self._alive[pid] = asyncio.get_running_loop().create_future()
        ordered = self._pending_forks.popleft()
        if ordered.done():
            return
        if pid:
            ordered.set_result(pid)
        else:
            ordered.set_exception(OSError(status, os.strerror(status)))

    def _disconnect(self) -> None:
        """Close the control socket. The fork server then ends, and kills its children."""
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._control = None
        waiting: list[asyncio.Future[None] | asyncio.Future[int]] = [self._ready, *self._pending_forks]
        for future in waiting:
            if not future.done():
                future.set_exception(ConnectionResetError("the fork server is gone"))
        for ended in self._alive.values():
            ended.set_result(None)
        self._pending_forks.clear()
        self._alive.clear()

    async def _wait_until_stopped(self) -> None:
        """Wait for the end of the fork server whose control socket was closed; kill it where it does not end."""
        if self._forkserver is None:
            return
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self._forkserver.wait()
        except TimeoutError:
            self._forkserver.kill()
            await self._forkserver.wait()
        self._forkserver = None


def lost() -> DecoderLostError:
    """The error for every loss of a decode process."""
    return DecoderLostError(
        "The process that decoded the picture was lost; send it again.", retry_after_s=RETRY_AFTER_S
    )


def _crashed() -> DecoderCrashedError:
    """The error for every picture that ended its decode process."""
    return DecoderCrashedError("This picture crashed the decoder: save it again as a plain JPEG and send that.")


def _not_started(cause: OSError) -> GatewayError:
    return refusal("descriptors", "The gateway has no file descriptor free.") if none_left(cause) else lost()


def _pair() -> tuple[socket.socket, socket.socket]:
    """A connected pair: the gateway's end, which never blocks, and the other end."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    ours.setblocking(False)
    return ours, theirs
