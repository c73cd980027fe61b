"""Which requests may have cost a replica its process, and what becomes of them. No I/O, no clock: rules take `now`.

When a connection breaks, a replica that was killed from outside and one that died of the request look alike. So each
loss is judged by what else is known:

- *Innocent*: a body that was answered within the last minute; one that was at work together with a body that is to
  blame; one whose replica has also lost harmless bodies without a suspect at work; an upload beside a pass-through
  call, since the gateway makes the tensors of uploads itself. It goes to another replica, as after any other failure.
- *Shared*: other bodies of its kind were lost there at about the same time, and any of them may have been the cause.
  It is tried once more on another replica, where no other suspect is at work at that time.
- *Alone*: nothing else explains the loss. It is not given to a second replica. It is tried once more on its own replica
  when that answers a probe again, or elsewhere when discovery has removed its replica.

A suspect that loses a second connection is *convicted*. The same body is refused while it is suspected or convicted. An
answer acquits it. Of what was refused only digests are kept. docs/decisions/0041 has the reasons.
"""

from collections import deque
from contextvars import Context
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from typing import Literal

import numpy as np
import structlog

from gateway.errors import RequestQuarantinedError
from gateway.imaging import RGB_BYTES, Pixels
from gateway.observe import metrics
from gateway.replicas.replica import Replica
from gateway.tfserving import Call

SUSPECTED_S = 120.0
CONVICTED_S = 600.0
MAX_HELD = 1000
"""Digests; the oldest is dropped first."""
ANSWERED_S = 60.0
"""How long an answer shows that a body is harmless. A new version may bear less than the old one."""
MAX_ANSWERS = 4096
BESIDE_S = 0.5
"""Losses at most this far apart may have one cause."""
NOTICED_S = 0.05
"""A request that began at most so long after another was lost may have met the same death."""
REMEMBERED_S = 10.0
"""For so long a loss shows that the replica loses connections by itself."""
MAX_LOSSES = 128

Kind = Literal["upload", "pass-through"]
Name = tuple[Kind, int]
"""By which a body is looked up: its kind, and a key that is cheap and random to clients."""
Verdict = Literal["innocent", "shared", "alone"]

log = structlog.get_logger()

WEIGHTS = np.random.default_rng().integers(2**64, size=RGB_BYTES // 8, dtype=np.uint64)
"""The key of a picture is the sum of its words of eight bytes, weighted by these, modulo 2**64. That takes a quarter of
the time of `hash`. They are drawn anew in each process, so that a client cannot make two pictures of one key."""


@dataclass(frozen=True, eq=False)
class Body:
    """What a request carries to a replica."""

    name: Name
    content: "Pixels | bytes"
    target: str = ""
    """Where a pass-through call goes. What one target answers may harm at another."""

    @classmethod
    def of_call(cls, call: Call) -> "Body | None":
        """The body of a pass-through call; None: it has none."""
        return cls(("pass-through", hash(call.body)), call.body, call.target) if call.body else None

    def digest(self) -> str:
        """BLAKE2b of kind and content, 32 hexadecimal digits."""
        digest = blake2b(self.name[0].encode() + b"\0", digest_size=16)
        digest.update(self.content if isinstance(self.content, bytes) else self.content.tobytes())
        return digest.hexdigest()


@dataclass(eq=False)
class Loss:
    """A connection that broke under a request."""

    body: Name
    replica: Replica
    since: float
    """When the attempt began."""
    at: float
    stale: bool
    """A kept connection broke before the answer began, and nothing shows that the replica is gone."""
    harmless: bool
    """The body had been answered before."""
    acquitted: bool = False
    """The body has been answered since."""
    convicted: bool = False

    @property
    def cleared(self) -> bool:
        """The body was not the cause."""
        return self.harmless or self.acquitted

    def near(self, other: "Loss") -> bool:
        """Whether another body was lost at about the same time."""
        return other.body != self.body and abs(other.at - self.at) <= BESIDE_S

    def together(self, other: "Loss") -> bool:
        """Whether one death of the replica explains both: both were at work there."""
        overlap = other.since <= self.at + NOTICED_S and self.since <= other.at + NOTICED_S
        return self.near(other) and overlap


@dataclass
class Held:
    """A body that is suspected or convicted."""

    digest: str
    until: float
    convicted: bool


class Quarantine:
    """The bodies that are suspected or convicted, and what the judgements rest on."""

    def __init__(self) -> None:
        self.answers: deque[tuple[Name, str, float]] = deque(maxlen=MAX_ANSWERS)
        """Bodies that were answered, where they were sent and when; the dispatcher adds to it."""
        self.losses: deque[Loss] = deque(maxlen=MAX_LOSSES)
        self.held: dict[Name, Held] = {}

    # --- asked ------------------------------------------------------------------------------------------------

    def admit(self, body: Body, now: float) -> None:
        """Let a request in.

        Raises:
            RequestQuarantinedError: the same body is suspected or convicted.
        """
        if error := self.refusal(body, now):
            metrics.quarantine("refused").inc()
            held = self.held[body.name]
            if held.convicted:
                held.until = now + CONVICTED_S
            raise error

    def refusal(self, body: Body, now: float) -> RequestQuarantinedError | None:
        """The error for a client that sends a body which is suspected or convicted; None: it is neither."""
        held = self.held.get(body.name)
        if held and held.until <= now:
            del self.held[body.name]
            held = None
        if held is None or held.digest != body.digest():
            return None
        left_s = ceil(CONVICTED_S if held.convicted else held.until - now)
        cost = "cost two model servers' connections" if held.convicted else "may have cost a model server its process"
        return RequestQuarantinedError(
            f"This very request {cost}, so it is refused for {left_s} s. Change it, or send it after that.",
            retry_after_s=left_s,
        )

    def harmless(self, body: Body, now: float) -> bool:
        """Whether it has been answered within the last minute."""
        for name, target, at in reversed(self.answers):
            if now - at >= ANSWERED_S:
                return False
            if name == body.name and target == body.target:
                return True
        return False

    def verdict(self, loss: Loss) -> Verdict:
        """What is known of a loss by now."""
        if loss.cleared or self._explained(loss):
            return "innocent"
        kinds = {other.body[0] for other in self._there(loss) if other.near(loss) and not other.harmless}
        if loss.body[0] == "upload" and "pass-through" in kinds:
            return "innocent"
        return "shared" if loss.body[0] in kinds else "alone"

    def _there(self, loss: Loss) -> list[Loss]:
        return [other for other in self.losses if other.replica is loss.replica]

    def _explained(self, loss: Loss) -> bool:
        """Whether another body is to blame, or the replica, which has lost harmless ones without a suspect at work."""
        there = self._there(loss)
        if any(other.convicted and other.together(loss) for other in there):
            return True
        suspects = [other for other in there if not other.cleared]
        return any(
            other.cleared
            and other.body != loss.body
            and not other.together(loss)
            and abs(other.at - loss.at) <= REMEMBERED_S
            and not any(suspect.together(other) for suspect in suspects)
            for other in there
        )

    # --- told -------------------------------------------------------------------------------------------------

    def acquit(self, body: Body, now: float) -> None:
        """A replica has answered it."""
        while self.losses and now - self.losses[0].at > REMEMBERED_S:
            self.losses.popleft()
        for loss in self.losses:
            loss.acquitted |= loss.body == body.name
        self.release(body.name)

    def lost(
        self, body: Body, replica: Replica, now: float, *, since: float, stale: bool = False, again: bool = False
    ) -> Loss:
        """A replica lost its connection under an attempt that began at `since`; `again`: so did the one before."""
        loss = Loss(body.name, replica, since, now, stale, harmless=self.harmless(body, now))
        self.losses.append(loss)
        if again and not self._explained(loss):  # what was answered once must be answered again
            kept = [answer for answer in self.answers if answer[:2] != (body.name, body.target)]
            self.answers = deque(kept, maxlen=MAX_ANSWERS)
        if self.verdict(loss) != "innocent":
            loss.convicted = again
            self._hold(body, replica, now, convicted=again)
        self._judge_again(loss)
        return loss

    def _judge_again(self, news: Loss) -> None:
        """One more loss may explain those before it, even where a body was convicted of them."""
        for loss in self._there(news):
            if loss is not news and not loss.cleared and self._explained(loss):
                self.excuse(loss)

    def excuse(self, loss: Loss) -> None:
        """Something else explains this loss."""
        loss.acquitted, loss.convicted = True, False
        if not any(other.body == loss.body and not other.cleared for other in self.losses):
            self.release(loss.body)

    def release(self, name: Name) -> None:
        """The body was not the cause."""
        if held := self.held.pop(name, None):
            metrics.quarantine("acquitted").inc()
            Context().run(log.info, "request acquitted", digest=held.digest[:16])

    def _hold(self, body: Body, replica: Replica, now: float, *, convicted: bool) -> None:
        self.held.pop(body.name, None)  # the newest last
        while len(self.held) >= MAX_HELD:
            del self.held[next(iter(self.held))]
        held = Held(body.digest(), now + (CONVICTED_S if convicted else SUSPECTED_S), convicted)
        self.held[body.name] = held
        event: metrics.Quarantined = "convicted" if convicted else "suspected"
        metrics.quarantine(event).inc()
        # In an empty context: the line of the request is the only one that carries its id.
        told = {"digest": held.digest[:16], "replica": replica.address, "reason": event}
        Context().run(lambda: log.warning("request quarantined", **told))
