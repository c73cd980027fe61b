"""The last try of a request that may have cost a replica its process: when it comes, and where.

`quarantine` judges; this follows its verdict. A request on trial waits in the pool's queue, so each change of the pool
and each attempt that ends there lets it be judged anew. One suspect at a time is tried on a replica: then a second
loss there is the fault of one request, and costs no other suspect its last try.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.admission import QueueFullError
from gateway.errors import RequestQuarantinedError
from gateway.failures import ReplicaError
from gateway.replicas.pool import Pool, Slot
from gateway.replicas.quarantine import Body, Loss, Name, Quarantine
from gateway.replicas.replica import Replica

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
    """Connections that broke under it."""
    loss: Loss | None = None
    """The last connection that it may have cost."""
    failed_at: float = 0
    """When its last attempt failed."""
    tried_at: Replica | None = None
    """Where it is on trial."""

    @property
    def over(self) -> bool:
        """It is not tried again, anywhere."""
        return self.costly > 1 or (self.loss is not None and self.loss.convicted)


class Trials:
    """Follows the quarantine's verdicts."""

    def __init__(
        self,
        pool: Pool,
        *,
        clock: Callable[[], float],
        refresh: Callable[[Replica], Awaitable[None]],
        look_again: Callable[[], None],
    ) -> None:
        """`refresh` probes one replica now, `look_again` looks the addresses up soon."""
        self._pool = pool
        self._clock = clock
        self._refresh = refresh
        self._look_again = look_again
        self.quarantine = Quarantine()
        self.at_work: dict[Name, Slot] = {}
        """Where the first of the copies of each body is at work; kept by the dispatcher."""
        self._under_trial: set[Replica] = set()
        self._probes: set[asyncio.Task[None]] = set()

    def admit(self, case: Case) -> None:
        """Let a request in.

        Raises:
            RequestQuarantinedError: the same body is suspected or convicted.
        """
        if case.body:
            self.quarantine.admit(case.body, self._clock())

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

    def failed(self, case: Case, replica: Replica, error: ReplicaError) -> None:
        """An attempt of the request has failed."""
        now = case.failed_at = self._clock()
        case.costly += error.once_more
        if error.survived and case.loss and case.body:
            self.quarantine.acquit(case.body, now)
            case.loss = None
        stale = not error.once_more
        if not error.suspect or case.body is None or (stale and self.harmless(case)):
            return
        case.lost += 1
        loss = self.quarantine.lost(case.body, replica, now, stale=stale, again=case.lost > 1)
        case.loss = None if self.quarantine.verdict(loss) == "innocent" else loss

    def ended(self, case: Case) -> None:
        """The last try is over: others may be tried there."""
        if case.tried_at:
            self._under_trial.discard(case.tried_at)
            case.tried_at = None

    def _give_back(self, case: Case, slot: Slot) -> None:
        self.ended(case)
        self._pool.finished(slot.replica)

    # --- the last try -----------------------------------------------------------------------------------------

    def goes_on_after(self, error: ReplicaError) -> bool:
        """Whether a suspected request may still have its last try: it was not worked on, or its replica was lost."""
        return error.suspect or error.gone or error.refreshes

    async def slot(self, case: Case, take: Take, *, tried: Sequence[Replica], deadline: float) -> Slot | None:
        """A slot for the last try; None: none came in time."""
        loss = case.loss
        assert loss is not None
        self._look_again()
        probe = asyncio.create_task(self._probe(loss.replica))
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)
        if loss.stale:  # mostly the connection alone was closed: then no other replica is needed
            await asyncio.wait([probe])
        try:
            return await self._pool.queue.get(
                lambda: self._take(case, loss, take, tried),
                lambda slot: self._give_back(case, slot),
                need=lambda: loss,
                wait_s=(deadline - self._clock()) * WAIT_SHARE,
            )
        except (QueueFullError, TimeoutError):
            return None

    async def _probe(self, replica: Replica) -> None:
        await self._refresh(replica)

    def _take(self, case: Case, loss: Loss, take: Take, tried: Sequence[Replica]) -> Slot | None:
        verdict = self.quarantine.verdict(loss)
        slot = None
        if verdict == "innocent":
            self.quarantine.release(loss.body)
            slot = take(tried)
        elif verdict == "shared" or loss.replica not in self._pool.replicas:
            slot = take([*tried, *self._under_trial])
        if slot is None and loss.replica.heard_at > case.failed_at and loss.replica not in self._under_trial:
            slot = take([other for other in self._pool.replicas if other is not loss.replica])
        if slot and verdict != "innocent":
            case.tried_at = slot.replica
            self._under_trial.add(slot.replica)
        return slot

    async def close(self) -> None:
        """Cancel the probes that are under way."""
        for probe in tuple(self._probes):
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
