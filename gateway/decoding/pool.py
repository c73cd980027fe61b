"""Which decode process decodes a picture, and when.

The rules. A picture in a small file goes first to the worker pool for quick pictures, where its header is checked: a
picture that takes longer is handed back. Nearly all pictures are quick, and they wait only for each other. Slow
pictures have a worker pool of their own, with a lower priority. A large picture gets a process of its own; it waits,
for a bounded time, until its share of the memory for large pictures is free.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.admission import Queue, Shares, refusal
from gateway.decoding.processes import DecodeProcess, Processes, lost
from gateway.decoding.protocol import Share
from gateway.errors import DeadlineError, LargerShareError
from gateway.imaging import Decoded, Picture
from gateway.observe import metrics

SMALL_BYTES = 32 * 1024 * 1024
"""Memory for decoding in a worker pool: a JPEG of 13 megapixels, a PNG of 7, a WebP of 2; 0.1 s at most."""
QUICK_S = 0.012
"""CPU time of a quick picture: a JPEG of 3 megapixels, a progressive one of 0.9, a PNG or WebP of 0.7."""
JPEG_START = b"\xff\xd8\xff"
QUICK_JPEG_BYTES = 512 * 1024
QUICK_FILE_BYTES = 32 * 1024
"""No quick picture has a larger file, so larger files go to the slow pool at once. A JPEG of that size takes 6 ms; in
the other formats, headers alone can take as long: thousands of chunks, sub-blocks and compressed texts."""
SLOW_NICE = 5
"""A third of the CPU time while quick pictures could use all of it."""
LARGE_NICE = 10


class Decoders:
    """The worker pools for quick and slow pictures, and the memory for large ones."""

    def __init__(self, processes: Processes, *, count: int, budget_bytes: int, wait_s: float) -> None:
        """Up to `count` processes in each worker pool, and as many large pictures beside them.

        Args:
            budget_bytes: memory that large pictures may take together.
            wait_s: longest time that a large picture may wait for memory.
        """
        self._processes = processes
        self._least_share_bytes = budget_bytes // count
        self._wait_s = wait_s
        self._memory = Shares(budget_bytes)
        self.quick = WorkerPool(processes, Share(SMALL_BYTES, QUICK_S), count=count)
        self.slow = WorkerPool(processes, Share(SMALL_BYTES), count=count, nice=SLOW_NICE)

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
        """Decode one picture by the rules above.

        Raises:
            GatewayError: the picture is refused, its decode process ended, or there is no room for it.
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
                self._own_process(needed_bytes) as process,
            ):
                return await process.decode(data, Share(needed_bytes))
        except TimeoutError as cause:
            raise refusal(
                "decoding", "Other large pictures are being decoded; send this one again, or a smaller version of it."
            ) from cause
        except LargerShareError as larger:  # it needs more than the same header announced a moment ago
            raise lost() from larger

    @property
    def free(self) -> tuple[int, int, int]:
        """Free places for quick pictures, free places for slow ones, free memory for large ones in bytes."""
        return self.quick.free, self.slow.free, self._memory.free

    def close(self) -> None:
        """Close the worker pools; their processes end by themselves."""
        self.quick.close()
        self.slow.close()

    @asynccontextmanager
    async def _own_process(self, share_bytes: int) -> AsyncIterator[DecodeProcess]:
        process = await self._processes.fork(share_bytes=share_bytes, nice=LARGE_NICE)
        try:
            yield process
        finally:
            self._processes.kill(process)


class WorkerPool:
    """Decode processes that are used again and again, and the pictures that wait for them.

    A job whose caller was cancelled runs to its end and its result is dropped: to kill a process and fork another costs
    more, and clients that disconnect could cause that by the hundred. A process whose job did not end with a sound
    answer is killed, and the next job gets a new one.
    """

    def __init__(self, processes: Processes, share: Share, *, count: int, nice: int = 0) -> None:
        """At most `count` processes, forked when there is work; `share` is what each job may take."""
        self._processes = processes
        self._share = share
        self._nice = nice
        self.free = count
        """Places that no picture has."""
        self._waiting: Queue[bool] = Queue()
        self._idle: list[DecodeProcess] = []
        self._abandoned: set[asyncio.Task[Decoded]] = set()
        """Jobs whose caller was cancelled."""

    @property
    def idle(self) -> int:
        """Number of processes that wait for a picture."""
        return len(self._idle)

    async def decode(self, data: bytes) -> Decoded:
        """Decode one picture, after those of its caller that came before; callers have turns.

        Raises:
            LargerShareError: the picture needs more than a share.
            GatewayError: the picture is refused, or its process ended.
        """
        if self.free and not self._waiting.waiting:
            self.free -= 1
        else:
            await self._waiting.get(self._take_place, self._give_back_place, need=lambda: None)
        job = asyncio.create_task(self._job(data))
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            self._abandoned.add(job)
            job.add_done_callback(self._abandoned_ended)
            raise
        finally:
            del job  # breaks a cycle with the traceback of its failure, which would keep the picture in memory

    async def _job(self, data: bytes) -> Decoded:
        """Runs in a task of its own, which holds the place and the process until the job has ended."""
        try:
            process = self._take_idle() or await self._fork()
            try:
                return await process.decode(data, self._share)
            finally:
                if process.idle:
                    self._idle.append(process)
                else:
                    self._processes.kill(process)
        finally:
            if self._waiting.waiting:
                self._give_back_place(True)
            else:
                self.free += 1

    def _take_place(self) -> bool | None:
        if not self.free:
            return None
        self.free -= 1
        return True

    def _give_back_place(self, _: bool) -> None:
        self.free += 1
        self._waiting.assign()

    def _abandoned_ended(self, job: "asyncio.Task[Decoded]") -> None:
        self._abandoned.discard(job)
        if not job.cancelled():
            job.exception()  # retrieved, or asyncio would log it

    def close(self) -> None:
        """Close the sockets of the idle processes, which then end, and cancel abandoned jobs."""
        for job in self._abandoned:
            job.cancel()
        while self._idle:
            self._idle.pop().close()

    async def _fork(self) -> DecodeProcess:
        return await self._processes.fork(share_bytes=self._share.memory_bytes, nice=self._nice)

    def _take_idle(self) -> DecodeProcess | None:
        while self._idle:
            process = self._idle.pop()
            if process.alive():
                return process
            self._processes.kill(process)  # it may not have ended: it may have sent something unasked
        return None
