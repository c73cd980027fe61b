"""A bounded quantity that is handed out in shares, first come, first served."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Shares:
    """Like `asyncio.Semaphore`, but a share may be more than one. Whoever wants more than there is gets all of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        """What nobody holds."""
        return self._free

    @asynccontextmanager
    async def held(self, share: int, *, wait_s: float | None = None) -> AsyncIterator[None]:
        """Hold a share for as long as the block runs.

        Raises:
            TimeoutError: it was not free within `wait_s`.
        """
        share = min(share, self._total)
        await self.take(share, wait_s=wait_s)
        try:
            yield
        finally:
            self.give_back(share)

    async def take(self, share: int, *, wait_s: float | None = None) -> None:
        """Like `held`, for a share that others give back than those who take it; at most the total.

        Raises:
            TimeoutError: it was not free within `wait_s`.
        """
        if self._waiting or share > self._free:
            await self._turn(share, wait_s)
        else:
            self._free -= share

    def give_back(self, share: int) -> None:
        """What was taken."""
        self._free += share
        self._hand_out()

    async def _turn(self, share: int, wait_s: float | None) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((share, turn))
        try:
            async with asyncio.timeout(wait_s):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # given in the same moment
                self._free += share
            else:
                with suppress(ValueError):
                    self._waiting.remove((share, turn))
            self._hand_out()
            raise

    def _hand_out(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            share, turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            self._free -= share
            turn.set_result(None)
