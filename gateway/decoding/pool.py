"""Which picture is decoded where, and when.

The rules. A picture whose file is small goes first to one of a few lasting decode processes for what is quick, which
turns away by its header what is not; so quick pictures, nearly all there are, wait only for each other. Those that take
longer have lasting processes of their own, with a lower priority. A large one gets a process for itself alone, for
which it waits until its share of the common memory is free, and not for long.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.admission import Shares, refusal
from gateway.decoding.processes import DecodeProcess, Processes, lost
from gateway.decoding.protocol import ForeignAnswerError, Limits, Share
from gateway.errors import (
    DeadlineError,
    DecoderCrashedError,
    GatewayError,
    ImageTooComplexError,
    LargerShareError,
)
from gateway.imaging import Decoded, Picture
from gateway.observe import metrics

SMALL_BYTES = 32 * 1024 * 1024
"""What decoding takes in a lasting process: a JPEG of 13 megapixels, a PNG of 7, a WebP of 2; 0.1 s at most."""
QUICK_S = 0.012
"""CPU time of what is quick: a JPEG of 3 megapixels, 0.9 where it is progressive; a PNG or WebP of 0.7."""
JPEG_START = b"\xff\xd8\xff"
QUICK_JPEG_BYTES = 512 * 1024
QUICK_FILE_BYTES = 32 * 1024
"""No quick picture is a larger file, so that larger ones need not ask. A JPEG of that size takes 6 ms; of the other
formats, headers alone can take as long: chunks, pieces and packed text by the thousand."""
SLOW_NICE = 5
"""A third of the time where quick pictures want all of it."""
LARGE_NICE = 10
END_WITHIN_S = 1.0
"""From the end of a process's socket to the news how it ended; 1 ms in fact."""


Run = Callable[[DecodeProcess, bytes, Share], Awaitable[Decoded]]


class Decoders:
    """The decode processes, and who has them."""

    def __init__(
        self, processes: Processes, limits: Limits, *, count: int, budget_bytes: int, timeout_s: float, wait_s: float
    ) -> None:
        """Take turns in `count` lasting processes of each kind; as many large pictures may be decoded beside them.

        Args:
            budget_bytes: memory that large pictures may take together.
            timeout_s: wall-clock time for one picture; CPU time is the limits' affair.
            wait_s: longest a large picture may wait.
        """
        self._processes = processes
        self._limits = limits
        self._least_share_bytes = budget_bytes // count
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._memory = Shares(budget_bytes)
        self.quick = WorkerPool(processes, self._run, Share(SMALL_BYTES, QUICK_S), count=count)
        self.slow = WorkerPool(processes, self._run, Share(SMALL_BYTES), count=count, nice=SLOW_NICE)

    async def picture(self, data: bytes, *, deadline: float) -> Picture:
        """The model's input from the bytes of a file.

        Args:
            deadline: moment on the event loop's clock.

        Raises:
            DeadlineError: the picture was not decoded in time.
            GatewayError: see `decode`.
        """
        try:
            async with asyncio.timeout_at(deadline):
                decoded = await self.decode(data)
        except TimeoutError as cause:
            raise DeadlineError("the picture was not decoded before the deadline") from cause
        metrics.pictures(decoded.format).inc()
        return decoded.picture()

    async def decode(self, data: bytes) -> Decoded:
        """One picture, by the rules above.

        Raises:
            GatewayError: it is refused, ended its process, or there is no room for it.
        """
        needed_bytes = 0
        if len(data) <= (QUICK_JPEG_BYTES if data.startswith(JPEG_START) else QUICK_FILE_BYTES):
            try:
                return await self.quick.decode(data)
            except LargerShareError as larger:
                needed_bytes = larger.needed_bytes
        if needed_bytes <= SMALL_BYTES:
            try:
                return await self.slow.decode(data)
            except LargerShareError as larger:
                needed_bytes = larger.needed_bytes
        return await self._large(data, needed_bytes)

    async def _large(self, data: bytes, needed_bytes: int) -> Decoded:
        try:
            async with (
                self._memory.held(max(needed_bytes, self._least_share_bytes), wait_s=self._wait_s),
                self._passing(needed_bytes) as process,
            ):
                return await self._run(process, data, Share(needed_bytes))
        except TimeoutError as cause:
            raise refusal(
                "decoding", "Other large pictures are being decoded; send this one again, or a smaller version of it."
            ) from cause
        except LargerShareError as larger:  # than it said itself a moment ago
            raise lost() from larger

    @property
    def free(self) -> tuple[int, int, int]:
        """Places for quick and slow pictures, and bytes for large ones, that nobody has."""
        return self.quick.free, self.slow.free, self._memory.free

    def close(self) -> None:
        """The lasting processes end by themselves."""
        self.quick.close()
        self.slow.close()

    @asynccontextmanager
    async def _passing(self, share_bytes: int) -> AsyncIterator[DecodeProcess]:
        process = await self._processes.fork(share_bytes=share_bytes, nice=LARGE_NICE)
        try:
            yield process
        finally:
            self._processes.kill(process)

    async def _run(self, process: DecodeProcess, data: bytes, share: Share) -> Decoded:
        """One job; whatever becomes of the process comes out as an error for the sender."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await process.decode(data, share)
        except TimeoutError as cause:
            metrics.DECODERS_ENDED.labels("stalled").inc()
            raise lost() from cause
        except ForeignAnswerError as cause:
            metrics.DECODERS_ENDED.labels("foreign").inc()
            raise crashed() from cause
        except (OSError, EOFError) as cause:
            raise self._told(await process.status(within_s=END_WITHIN_S)) from cause
        except asyncio.CancelledError:
            metrics.DECODERS_ENDED.labels("abandoned").inc()
            raise

    def _told(self, status: int | None) -> GatewayError:
        """What a process's end means for the sender of the picture that it was at."""
        if status == -signal.SIGPROF:
            metrics.DECODERS_ENDED.labels("cpu").inc()
            return ImageTooComplexError(
                f"Decoding this picture takes more than {self._limits.cpu_s:g} s of computing time: "
                "send a smaller version, saved as a plain JPEG."
            )
        if status in (None, -signal.SIGKILL):  # the system ran out of memory, or somebody did it by hand
            metrics.DECODERS_ENDED.labels("killed").inc()
            return lost()
        metrics.DECODERS_ENDED.labels("crashed").inc()
        return crashed()


def crashed() -> DecoderCrashedError:
    """In the same words wherever it happens."""
    return DecoderCrashedError("The decoder broke down over this picture: save it anew as a plain JPEG and send that.")


class WorkerPool:
    """Decode processes of one kind, which stay, and the pictures that take turns in them.

    A job whose caller leaves is finished in its place, for nobody: to kill and to fork costs more, and clients that
    leave could order it by the hundred. A process whose job did not end as it should is killed, and the next job gets
    a fresh one.
    """

    def __init__(self, processes: Processes, run: Run, share: Share, *, count: int, nice: int = 0) -> None:
        """At most `count` of them, forked when there is work; each job may take `share`."""
        self._processes = processes
        self._run = run
        self._share = share
        self._nice = nice
        self._places = asyncio.Semaphore(count)
        self.free = count
        """Places that no picture has."""
        self._idle: list[DecodeProcess] = []
        self._unwanted: set[asyncio.Task[Decoded]] = set()
        """Jobs that are finished for nobody."""

    @property
    def idle(self) -> int:
        """Processes that wait for a picture."""
        return len(self._idle)

    async def decode(self, data: bytes) -> Decoded:
        """One picture, after those that came before.

        Raises:
            LargerShareError: it needs more than a share.
            GatewayError: it is refused, or ended its process.
        """
        await self._places.acquire()
        self.free -= 1
        job = asyncio.create_task(self._job(data))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            self._unwanted.add(job)
            job.add_done_callback(self._ended_for_nobody)
            raise
        finally:
            del job  # its failure's traceback leads back here: a circle that would keep the picture in memory

    async def _job(self, data: bytes) -> Decoded:
        """A task of its own, which keeps the place and the process until it has ended, whatever its end."""
        try:
            process = self._spare_one() or await self._forked()
            try:
                return await self._run(process, data, self._share)
            finally:
                if process.idle:
                    self._idle.append(process)
                else:
                    self._processes.kill(process)
        finally:
            self.free += 1
            self._places.release()

    def _ended_for_nobody(self, job: "asyncio.Task[Decoded]") -> None:
        self._unwanted.discard(job)
        if not job.cancelled():
            job.exception()  # seen: nobody else will

    def close(self) -> None:
        """They end by themselves."""
        for job in self._unwanted:
            job.cancel()
        while self._idle:
            self._idle.pop().close()

    async def _forked(self) -> DecodeProcess:
        return await self._processes.fork(share_bytes=self._share.memory_bytes, nice=self._nice)

    def _spare_one(self) -> DecodeProcess | None:
        while self._idle:
            process = self._idle.pop()
            if process.alive():
                return process
            self._processes.kill(process)  # it may not have ended: it may have sent something unasked
        return None
