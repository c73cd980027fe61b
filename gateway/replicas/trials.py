"""The last try of a request that may have cost a replica its process: when it comes, and where.

`quarantine` judges; this follows its verdict. A request on trial waits in the pool's queue, so each change of the pool
and each attempt that ends there lets it be judged anew. One suspect at a time is tried on a replica: then a second
loss there is the fault of one request, and costs no other suspect its last try.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from gateway.admission import QueueFullError
from gateway.errors import RequestQuarantinedError
from gateway.failures import ReplicaError
from gateway.replicas.pool import Pool, Slot
from gateway.replicas.quarantine import Body, Loss, Name, Quarantine
from gateway.replicas.replica import Replica
from gateway.replicas.retries import RetryBudget

PATIENCE_S = 0.25
"""Before the only suspect is tried on its own replica again: if that loses other requests, too, another one may do."""
MAX_COPIES = 16
"""Of an upload, that wait for the outcome of the first."""
WAIT_SHARE = 0.95
"""Of the time until its deadline, for which a request on trial may wait."""

Take = Callable[[Sequence[Replica]], Slot | None]
"""Takes a slot for the request on a replica that is not among these."""


@dataclass(eq=False)
class Case:
    """What one request has cost so far."""

    body: Body | None
    """None: it carries nothing that could harm a replica."""
    costly: int = 0
    """Failures of the kinds that it may have twice (`ReplicaError.once_more`)."""
    lost: int = 0
    """Connections that broke under it, those left out that had only been kept for too long."""
    loss: Loss | None = None
    """The last connection that it may have cost."""
    failed_at: float = 0
    """When its last attempt failed."""
    waited: bool = False
    """For PATIENCE_S since that; not told by the clock, because timers are rounded and may come early by it."""
    closed: bool = False
    """The request is over; an attempt may still run."""
    tried_at: Replica | None = None
    """Where it is on trial."""

    @property
    def over(self) -> bool:
        """It is not tried again, anywhere."""
        return self.costly > 1 or (self.loss is not None and self.loss.convicted)


@dataclass(eq=False)
class _Open:
    """Requests with one body that are suspected and not over."""

    settled: asyncio.Event = field(default_factory=asyncio.Event)
    cases: set[Case] = field(default_factory=set)
    copies: int = 0
    """Further requests that wait for the outcome."""


class Trials:
    """Follows the quarantine's verdicts."""

    def __init__(
        self,
        pool: Pool,
        budget: RetryBudget,
        *,
        clock: Callable[[], float],
        refresh: Callable[[Replica], Awaitable[None]],
        look_again: Callable[[], None],
    ) -> None:
        """`refresh` probes one replica now, `look_again` looks the addresses up soon."""
        self._pool = pool
        self._budget = budget
        self._clock = clock
        self._refresh = refresh
        self._look_again = look_again
        self.quarantine = Quarantine()
        self.at_work: dict[Name, Slot] = {}
        """Where the first of the copies of each body is at work; kept by the dispatcher."""
        self._under_trial: set[Replica] = set()
        self._open: dict[Name, _Open] = {}
        self._probes: set[asyncio.Task[None]] = set()

    async def admit(self, case: Case) -> None:
        """Let a request in.

        An upload waits while another with the same picture is suspected: mostly the replica was killed, and the other
        is answered soon. What clients send on TensorFlow Serving's paths does not wait.

        Raises:
            RequestQuarantinedError: the same body is suspected or convicted.
        """
        if case.body is None:
            return
        opened = self._open.get(case.body.name)
        if opened and case.body.name[0] == "upload" and opened.copies < MAX_COPIES:
            opened.copies += 1
            try:
                await opened.settled.wait()
            finally:
                opened.copies -= 1
        self.quarantine.admit(case.body, self._clock())

    def close_case(self, case: Case) -> None:
        """The request is over."""
        case.closed = True
        opened = self._open.get(case.body.name) if case.body else None
        if opened and case in opened.cases:
            opened.cases.discard(case)
            if case.body and not opened.cases:
                del self._open[case.body.name]
                opened.settled.set()

    def harmless(self, case: Case) -> bool:
        """Whether it is known that the request does not harm a replica."""
        return case.body is None or self.quarantine.harmless(case.body, self._clock())

    def left_out(self, body: Body) -> Sequence[Sequence[Replica]]:
        """The replicas that must not get the first attempt of a request: the first choice, then the next.

        Copies of a body that was not answered before go to one replica while it has room. Otherwise a body that kills,
        sent several times at once, would reach every replica before the first is lost.
        """
        now = self._clock()
        if body.name in self.quarantine.held:  # since it was let in
            return ()
        slot = self.at_work.get(body.name)
        if slot is None or slot.replica.ejected(now) or self.quarantine.harmless(body, now):
            return ((),)
        return [replica for replica in self._pool.replicas if replica is not slot.replica], ()

    def may_hedge(self, case: Case, *, beside: Replica) -> bool:
        """Whether a second replica may be asked beside one that is slow or has been ejected.

        Not where connections broke there: this request's own is about to, and it may be the cause. And no foreign body
        that was not answered before: what takes long at one replica would take long at two.
        """
        if self.harmless(case):
            return True
        broke = beside.ejected_by_suspect and beside.ejected(self._clock())
        return case.body is not None and case.body.name[0] == "upload" and not broke

    def refusal(self, case: Case) -> RequestQuarantinedError | None:
        """The error for the client, where the request is still suspected or convicted at its end."""
        return self.quarantine.refusal(case.body, self._clock()) if case.body else None

    # --- attempts ---------------------------------------------------------------------------------------------

    def answered(self, case: Case, now: float) -> None:
        """A replica has answered the request, while some are suspected."""
        if case.body:
            self.quarantine.acquit(case.body, now)

    def failed(self, case: Case, replica: Replica, error: ReplicaError, *, since: float) -> None:
        """An attempt of the request, begun at `since`, has failed."""
        now = case.failed_at = self._clock()
        case.costly += error.once_more
        if error.survived and case.loss and case.body:
            self.quarantine.acquit(case.body, now)
            case.loss = None
        stale = not error.once_more
        if not error.suspect or case.body is None or (stale and self.harmless(case)):
            return
        loss = self.quarantine.lost(case.body, replica, now, since=since, stale=stale, again=case.lost > 0)
        case.lost += not stale
        case.loss = None if self.quarantine.verdict(loss) == "innocent" else loss
        if case.loss and not case.closed:
            self._open.setdefault(case.body.name, _Open()).cases.add(case)

    def ended(self, case: Case) -> None:
        """The last try is over: others may be tried there."""
        if case.tried_at:
            self._under_trial.discard(case.tried_at)
            case.tried_at = None

    def _give_back(self, case: Case, slot: Slot) -> None:
        self.ended(case)
        self._pool.finished(slot.replica)

    # --- the last try -----------------------------------------------------------------------------------------

    async def slot(
        self, case: Case, error: ReplicaError, take: Take, *, tried: Sequence[Replica], deadline: float
    ) -> Slot | None:
        """A slot for the last try; None: there is none, or none came in time."""
        loss = case.loss
        still_due = error.suspect or error.gone or error.refreshes  # else the replica has worked on it
        if loss is None or not still_due or not self._budget.grants("retry"):
            return None
        if (slot := await self._wait(case, loss, take, tried, deadline)) is None:
            self._budget.give_back()
        return slot

    async def _wait(self, case: Case, loss: Loss, take: Take, tried: Sequence[Replica], deadline: float) -> Slot | None:
        self._look_again()
        probe = asyncio.create_task(self._probe(loss.replica))
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)
        if loss.stale:
            await asyncio.wait([probe])
            if not self._heard_since(case, loss):  # it is not the connection alone that is gone
                loss.stale = False
                case.lost += 1
        case.waited = loss.stale
        patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._waited, case)
        try:
            return await self._pool.queue.get(
                lambda: self._take(case, loss, take, tried),
                lambda slot: self._give_back(case, slot),
                need=lambda: loss,
                wait_s=(deadline - self._clock()) * WAIT_SHARE,
            )
        except (QueueFullError, TimeoutError):
            return None
        finally:
            patience.cancel()

    def _waited(self, case: Case) -> None:
        case.waited = True
        self._pool.queue.assign()

    async def _probe(self, replica: Replica) -> None:
        await self._refresh(replica)

    def _take(self, case: Case, loss: Loss, take: Take, tried: Sequence[Replica]) -> Slot | None:
        verdict = self.quarantine.verdict(loss)
        held = self.quarantine.held.get(loss.body)
        if verdict != "innocent" and held and held.convicted:  # a copy was lost again
            return None
        slot = None
        if verdict == "innocent":
            self.quarantine.excuse(loss)
            slot = take(tried)
        elif verdict == "shared" or loss.replica not in self._pool.replicas:
            slot = take([*tried, *self._under_trial])
        may_return = case.waited and self._heard_since(case, loss)
        if slot is None and may_return and loss.replica not in self._under_trial:
            slot = take([other for other in self._pool.replicas if other is not loss.replica])
        if slot and verdict != "innocent":
            case.tried_at = slot.replica
            self._under_trial.add(slot.replica)
        return slot

    def _heard_since(self, case: Case, loss: Loss) -> bool:
        """Whether its own replica has answered a probe since; the clock may have stood still between the two."""
        return loss.replica.heard_at >= case.failed_at

    async def close(self) -> None:
        """Cancel the probes that are under way."""
        for probe in tuple(self._probes):
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
