"""A few decode processes that stay, and the pictures that take turns in them.

A job whose caller leaves is finished in its place, for nobody: to kill and to fork costs more, and clients that leave
could order it by the hundred. A process whose job did not end as it should is killed, and the next job gets a fresh
one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.decoding.processes import DecodeProcess, Processes
from gateway.decoding.protocol import Share
from gateway.decoding.shares import Shares
from gateway.imaging import Decoded

Run = Callable[[DecodeProcess, bytes, Share], Awaitable[Decoded]]


class Lasting:
    """The processes of one kind."""

    def __init__(self, processes: Processes, run: Run, share: Share, *, count: int, nice: int = 0) -> None:
        """At most `count` of them, forked when there is work; each job may take `share`."""
        self._processes = processes
        self._run = run
        self._share = share
        self._nice = nice
        self._places = Shares(count)
        self._spare: list[DecodeProcess] = []
        self._unwanted: set[asyncio.Task[None]] = set()
        """Jobs that are finished for nobody."""

    @property
    def idle(self) -> int:
        """Processes that wait for a picture."""
        return len(self._spare)

    @property
    def free(self) -> int:
        """Places that nobody has."""
        return self._places.free

    async def decode(self, data: bytes) -> Decoded:
        """One picture, after those that came before.

        Raises:
            LargerShareError: it needs more than a share.
            GatewayError: it is refused, or ended its process.
        """
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._places.held(1))
            process = await held.enter_async_context(self._process())
            job = asyncio.ensure_future(self._run(process, data, self._share))
            try:
                return await asyncio.shield(job)
            except asyncio.CancelledError:
                rest = asyncio.create_task(self._finish(job, held.pop_all()))
                self._unwanted.add(rest)
                rest.add_done_callback(self._unwanted.discard)
                raise
            finally:
                del job  # its failure's traceback leads back here: a circle that would keep the picture in memory

    @staticmethod
    async def _finish(job: "asyncio.Future[Decoded]", held: AsyncExitStack) -> None:
        """Keep the place and the process until the job has ended, whatever its end."""
        async with held:
            try:
                await asyncio.wait([job])
            finally:
                job.cancel()  # where the gateway stops
            if not job.cancelled():
                job.exception()  # seen: nobody else will

    def close(self) -> None:
        """They end by themselves."""
        for rest in self._unwanted:
            rest.cancel()
        while self._spare:
            self._spare.pop().close()

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[DecodeProcess]:
        process = self._spare_one() or await self._processes.fork(share_bytes=self._share.memory_bytes, nice=self._nice)
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
