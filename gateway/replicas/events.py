"""What an operator reads about the replicas: one log line for each change of state, with its reason."""

from collections.abc import Callable
from contextvars import Context
from weakref import WeakKeyDictionary

import structlog

from gateway.replicas.pool import Pool
from gateway.replicas.replica import Replica

log = structlog.get_logger()


class Events:
    """Logs what changes in the pool."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: WeakKeyDictionary[Replica, tuple[str, str]] = WeakKeyDictionary()
        """State and versions as last logged."""
        pool.on_change.append(self.note)

    def note(self, replica: Replica) -> None:
        """Log the replica's state if it is another than last time.

        In an empty context: a change may be noticed in the midst of a request, whose id the line must not carry.
        """
        state = replica.state(self._clock())
        shown = "slow" if state == "available" and replica.slow else state
        serving = ",".join(sorted(replica.models, key=int))
        was = self._known.get(replica, ("not ready", ""))
        if (shown, serving) != was:
            self._known[replica] = (shown, serving)
            Context().run(self._log, replica, shown, serving, was[0])

    def _log(self, replica: Replica, state: str, serving: str, was: str) -> None:
        if state == "available":
            log.info("replica available", replica=replica.address, serving=serving, after=was)
        elif state == "slow":
            log.warning("replica slow", replica=replica.address, reason=replica.reason)
        elif state == "ejected":
            out_s = max(0.0, round(replica.ejected_until - self._clock(), 1))
            log.warning("replica ejected", replica=replica.address, reason=replica.reason, at_least_s=out_s)
        elif was != "not ready":
            log.warning("replica not ready", replica=replica.address, reason=replica.reason)
