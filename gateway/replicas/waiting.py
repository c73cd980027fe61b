"""The line before the replicas: a bounded number of requests wait, in the order they came, for a bounded time.

TensorFlow Serving sheds nothing by itself: what it cannot work at once it queues, and every answer gets slower. So the
gateway keeps attempts in flight few, lets a burst wait here, and says no at once to what would wait too long.
"""

import asyncio
from collections import deque


class WaitingLine:
    """First come, first served."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Nobody more may wait."""
        return len(self._waiting) >= self._size

    async def wait(self, until: float, *, first: bool = False) -> bool:
        """Wait to be called; False: it is `until`, on the event loop's clock, and nobody has called.

        Args:
            first: for one who was called and could take nothing: its place is before all others.
        """
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if first else self._waiting.append)(called)
        try:
            async with asyncio.timeout_at(until):
                await called
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self.call()  # it had just been called: the next one's luck
            raise
        finally:
            if called in self._waiting:
                self._waiting.remove(called)
        return True

    def call(self) -> None:
        """A place is free: whoever waits longest may have it."""
        while self._waiting:
            called = self._waiting.popleft()
            if not called.done():
                called.set_result(None)
                return
