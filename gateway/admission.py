"""What is refused before any work is done: requests in flight, bytes of bodies at hand."""

from gateway.errors import OverloadedError
from gateway.observe import metrics

RETRY_AFTER_S = 1


class InFlight:
    """Requests at work at once. While its body is on its way it is not: slow clients must not fill the places."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0
        metrics.IN_FLIGHT.set_function(lambda: self._now)

    def check(self) -> None:
        """Is there a place? Asked before the body is read, which a refusal then saves.

        Raises:
            OverloadedError: there is none.
        """
        if self._now >= self._most:
            raise OverloadedError(f"{self._most} requests are at work already.", retry_after_s=RETRY_AFTER_S)

    def __enter__(self) -> None:
        """Hold a place for one request, for as long as the block runs.

        Raises:
            OverloadedError: there is none.
        """
        self.check()
        self._now += 1

    def __exit__(self, *failure: object) -> None:
        self._now -= 1


class Bodies:
    """Bytes of all bodies that are at hand at once, whatever stage their requests are in."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._now = 0
        metrics.BODY_BYTES.set_function(lambda: self._now)

    def add(self, count: int) -> None:
        """Bytes have come.

        Raises:
            OverloadedError: more than there is room for; they do not count.
        """
        if self._now + count > self._most_bytes:
            raise OverloadedError("The uploads that are at work already fill the memory.", retry_after_s=RETRY_AFTER_S)
        self._now += count

    def drop(self, count: int) -> None:
        """They are not needed any more."""
        self._now -= count
