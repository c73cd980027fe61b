"""A few decode processes that stay, and the pictures that take turns in them.

A job whose caller leaves is finished in its place, for nobody: to kill and to fork costs more, and clients that leave
could order it by the hundred. A process whose job did not end as it should is killed, and the next job gets a fresh
one.
"""

import asyncio
from collections.abc import Awaitable, Callable

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
        self._unwanted: set[asyncio.Task[Decoded]] = set()
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
        await self._places.take(1)
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
                    self._spare.append(process)
                else:
                    self._processes.kill(process)
        finally:
            self._places.give_back(1)

    def _ended_for_nobody(self, job: "asyncio.Task[Decoded]") -> None:
        self._unwanted.discard(job)
        if not job.cancelled():
            job.exception()  # seen: nobody else will

    def close(self) -> None:
        """They end by themselves."""
        for job in self._unwanted:
            job.cancel()
        while self._spare:
            self._spare.pop().close()

    async def _forked(self) -> DecodeProcess:
        return await self._processes.fork(share_bytes=self._share.memory_bytes, nice=self._nice)

    def _spare_one(self) -> DecodeProcess | None:
        while self._spare:
            process = self._spare.pop()
            if process.alive():
                return process
            process.close()
        return None
