"""What an operator reads about the replicas: a line for each change, with its reason. And who must hear at once."""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

import structlog

from gateway.observe import metrics
from gateway.replicas.replica import Replica, State

log = structlog.get_logger()


class Transitions:
    """Told by whoever changes the pool's picture."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: WeakKeyDictionary[Replica, tuple[State, str]] = WeakKeyDictionary()
        self._alarms: WeakKeyDictionary[Replica, asyncio.Future[None]] = WeakKeyDictionary()

    def note(self, replica: Replica) -> None:
        """Look at the replica's state; a line, if it is another than last time."""
        state = replica.state(self._clock())
        serving = ",".join(sorted(replica.models, key=int))
        if (state, serving) == self._known.get(replica):
            return
        was = self._known.get(replica, ("not ready", ""))[0]
        self._known[replica] = (state, serving)
        if state == "available":
            log.info("replica available", replica=replica.address, serving=serving, after=was)
        elif state == "ejected":
            out_s = round(replica.ejected_until - self._clock(), 1)
            log.warning("replica ejected", replica=replica.address, reason=replica.reason, at_least_s=max(0, out_s))
        elif was != "not ready":
            log.warning("replica not ready", replica=replica.address, reason=replica.reason)

    def ejected(self, replica: Replica, cause: metrics.Ejection) -> None:
        """It has just been: whoever waits for it may turn to another, unless it is merely slow."""
        metrics.EJECTIONS.labels(cause).inc()
        self.note(replica)
        if cause != "slow" and (alarm := self._alarms.pop(replica, None)) and not alarm.done():
            alarm.set_result(None)

    def alarm(self, replica: Replica) -> "asyncio.Future[None]":
        """Done when the replica is ejected."""
        if (alarm := self._alarms.get(replica)) is None:
            self._alarms[replica] = alarm = asyncio.get_running_loop().create_future()
        return alarm
