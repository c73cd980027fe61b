"""At most so many at once, first come, first served."""

import threading
from collections import deque


class FairSemaphore:
    """To be entered with `with`. `threading.Semaphore` lets a newcomer in before those who wait; this does not."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._free = most
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._lock:
            if self._free:  # then nobody waits: a turn that ends goes to the next in line
                self._free -= 1
                return
            called = threading.Lock()
            called.acquire()
            self._waiting.append(called)
        called.acquire()

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
