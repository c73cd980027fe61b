"""Which picture is decoded where, and when.

The rules. Every picture goes first to one of a few lasting decode processes, which turns away what is large by its
header; so small pictures, nearly all there are, wait only for each other. A large one gets a process of its own,
with a lower priority, for which it waits until its share of the common memory is free, and not for long. A process
whose job did not end as it should is killed, and the next job gets a fresh one. A small job whose caller leaves is
finished in its place, for nobody: to kill and to fork costs more, and clients that leave could order it by the hundred.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway import metrics
from gateway.decoding.processes import RETRY_AFTER_S, DecodeProcess, Processes, lost
from gateway.decoding.protocol import ForeignAnswerError, Limits
from gateway.decoding.shares import Shares
from gateway.errors import (
    DecoderCrashedError,
    GatewayError,
    ImageTooComplexError,
    LargerShareError,
    OverloadedError,
)
from gateway.imaging import Decoded

SMALL_BYTES = 32 * 1024 * 1024
"""What decoding takes in a lasting process: a JPEG of 13 megapixels, a PNG of 7, a WebP of 2; 0.1 s at most."""
LARGE_NICE = 10
END_WITHIN_S = 1.0
"""From the end of a process's socket to the news how it ended; 1 ms in fact."""


class Decoders:
    """The decode processes, and who has them."""

    def __init__(
        self, processes: Processes, limits: Limits, *, count: int, budget_bytes: int, timeout_s: float, wait_s: float
    ) -> None:
        """Take turns in `count` lasting processes; as many large pictures may be decoded beside them.

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
        self._places = Shares(count)
        self._memory = Shares(budget_bytes)
        self._spare: list[DecodeProcess] = []
        self._unwanted: set[asyncio.Task[None]] = set()
        """Jobs that are finished for nobody."""

    async def decode(self, data: bytes) -> Decoded:
        """One picture, by the rules above.

        Raises:
            GatewayError: it is refused, ended its process, or there is no room for it.
        """
        try:
            return await self._small(data)
        except LargerShareError as larger:
            needed_bytes = larger.needed_bytes
        try:
            async with (
                self._memory.held(max(needed_bytes, self._least_share_bytes), wait_s=self._wait_s),
                self._passing(needed_bytes) as process,
            ):
                return await self._run(process, data, needed_bytes)
        except TimeoutError as cause:
            raise OverloadedError(
                "Other large pictures are being decoded; send this one again, or a smaller version of it.",
                retry_after_s=RETRY_AFTER_S,
            ) from cause
        except LargerShareError as larger:  # than it said itself a moment ago
            raise lost() from larger

    async def _small(self, data: bytes) -> Decoded:
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._places.held(1))
            process = await held.enter_async_context(self._lasting())
            job = asyncio.create_task(self._run(process, data, SMALL_BYTES))
            try:
                return await asyncio.shield(job)
            except asyncio.CancelledError:
                rest = asyncio.create_task(self._finish(job, held.pop_all()))
                self._unwanted.add(rest)
                rest.add_done_callback(self._unwanted.discard)
                raise

    @staticmethod
    async def _finish(job: "asyncio.Task[Decoded]", held: AsyncExitStack) -> None:
        """Keep the place and the process until the job has ended, whatever its end."""
        async with held:
            try:
                await asyncio.wait([job])
            finally:
                job.cancel()  # where the gateway stops
            if not job.cancelled():
                job.exception()  # seen: nobody else will

    def close(self) -> None:
        """The lasting processes end by themselves."""
        for rest in self._unwanted:
            rest.cancel()
        while self._spare:
            self._spare.pop().close()

    @asynccontextmanager
    async def _lasting(self) -> AsyncIterator[DecodeProcess]:
        process = self._spare_one() or await self._processes.fork(share_bytes=SMALL_BYTES)
        try:
            yield process
        finally:
            if process.idle:
                self._spare.append(process)
            else:
                self._processes.kill(process)

    def _spare_one(self) -> DecodeProcess | None:
        while self._spare:
            process = self._spare.pop()
            if process.alive():
                return process
            process.close()
        return None

    @asynccontextmanager
    async def _passing(self, share_bytes: int) -> AsyncIterator[DecodeProcess]:
        process = await self._processes.fork(share_bytes=share_bytes, nice=LARGE_NICE)
        try:
            yield process
        finally:
            self._processes.kill(process)

    async def _run(self, process: DecodeProcess, data: bytes, share_bytes: int) -> Decoded:
        """One job; whatever becomes of the process comes out as an error for the sender."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await process.decode(data, share_bytes)
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
