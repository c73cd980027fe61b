"""Which versions a replica may be asked for, and why not for others. Versions are judged, never their replica.

A version is served from a replica once
1. the replica reports it AVAILABLE,
2. its contract is accepted (`tfserving.contract`): asked once a version, of whichever replica has it first,
3. this very replica has answered rightly for the golden picture: once a version and replica, and again when the replica
   returns or was ejected.

What fails 2 or 3 is refused with its reason and leaves the versions that serve untouched. An examination is a task of
its own with its own time limit: a version that takes long to answer holds up neither the probes nor another version.
A refusal by contract lasts as long as the version; any other examination is repeated, twice as late each time, or with
every probe while the replica serves no version.
"""

import asyncio
from collections.abc import Callable, Collection
from contextvars import Context
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import structlog

from gateway import imaging
from gateway.errors import ContractError
from gateway.failures import ReplicaError
from gateway.replicas.pool import Pool
from gateway.replicas.replica import AVAILABLE, Refusal, Replica, doubled
from gateway.tfserving import TFServing
from gateway.tfserving.contract import DESCRIBE, ServedModel, Terms, accept

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

log = structlog.get_logger()
Verdict = ServedModel | Refusal


@dataclass
class _Examination:
    """Of one version on one replica."""

    task: "asyncio.Task[Verdict] | None" = None
    refusal: Refusal | None = None
    """Its last outcome; None: it was never refused."""
    refusals: int = 0
    not_before: float = float("-inf")


class Acceptance:
    """Judges the versions of every replica."""

    def __init__(
        self, pool: Pool, client: TFServing, terms: Terms, *, clock: Callable[[], float], timeout_s: float
    ) -> None:
        """`timeout_s`: for all that one version is asked on one replica."""
        self._pool = pool
        self._client = client
        self._terms = terms
        self._clock = clock
        self._timeout_s = timeout_s
        self._contracts: dict[int, Verdict] = {}
        """By version, for as long as some replica has it: should a number come back, it may be another model."""
        self._examinations: WeakKeyDictionary[Replica, dict[int, _Examination]] = WeakKeyDictionary()

    async def of(self, replica: Replica, *, wait_s: float) -> tuple[dict[str, ServedModel], dict[int, Refusal]]:
        """The versions that the replica may be asked for, and those that it may not, newest first.

        Examinations that are not over after `wait_s` go on, and count the next time.
        """
        known = self._examinations.setdefault(replica, {})
        for version in known.keys() - replica.held:
            self._cancel(known.pop(version))
        available = [v for v in sorted(replica.versions, reverse=True) if replica.versions[v].state == AVAILABLE]
        tasks = [task for version in available if (task := self._examining(replica, version))]
        if tasks:
            await asyncio.wait(tasks, timeout=wait_s)
        verdicts = {version: self._verdict(replica, version) for version in available}
        models = {v.version: v for v in verdicts.values() if isinstance(v, ServedModel)}
        refused = {version: v for version, v in verdicts.items() if isinstance(v, Refusal)}
        for version, status in replica.versions.items():
            if status.error:
                refused[version] = _not_loaded(replica, version, status.error)
        return models, refused

    def keep(self, versions: Collection[int]) -> None:
        """Forget all other versions."""
        self._contracts = {version: verdict for version, verdict in self._contracts.items() if version in versions}

    def close(self) -> None:
        """End what is under way."""
        for known in self._examinations.values():
            for examination in known.values():
                self._cancel(examination)

    # --- one version on one replica -----------------------------------------------------------------------------

    def _examining(self, replica: Replica, version: int) -> "asyncio.Task[Verdict] | None":
        """The examination under way, begun if it is due; None where there is nothing to examine."""
        examination = self._examinations[replica].setdefault(version, _Examination())
        serving = self._serving(replica, version) is not None
        if serving and not replica.unproven:
            return None
        if examination.task is None and (serving or not replica.models or self._clock() >= examination.not_before):
            # In an empty context: a probe may have been asked for by a request, whose id its lines must not carry.
            examination.task = asyncio.create_task(self._examine(replica, version), context=Context())
        return examination.task

    def _verdict(self, replica: Replica, version: int) -> Verdict:
        """What is known of the version now."""
        examination = self._examinations[replica][version]
        if examination.task and examination.task.done():
            task, examination.task = examination.task, None
            self._judged(replica, version, examination, task.result())
            if isinstance(task.result(), ServedModel):
                return task.result()
        if model := self._serving(replica, version):
            return model  # of one that is ejected, the right answer is merely still to come
        return examination.refusal or Refusal("examination", f"version {version} is still being examined")

    def _serving(self, replica: Replica, version: int) -> ServedModel | None:
        model = replica.models.get(str(version))
        return model if model is not None and model is self._contracts.get(version) else None

    async def _examine(self, replica: Replica, version: int) -> Verdict:
        try:
            async with asyncio.timeout(self._timeout_s):
                verdict = await self._contract(replica, version)
                if isinstance(verdict, ServedModel):
                    await self._client.predict(replica.address, verdict, imaging.golden_picture())
        except TimeoutError:
            why = f"no answer for the golden picture in {self._timeout_s:g} s"
            return Refusal("examination", f"version {version} fails here: {why}")
        except ReplicaError as error:
            return Refusal("examination", f"version {version} fails here: {error}")
        if isinstance(verdict, ServedModel):
            self._pool.proved(replica, self._clock())
        return verdict

    def _judged(self, replica: Replica, version: int, examination: _Examination, verdict: Verdict) -> None:
        if isinstance(verdict, ServedModel):
            examination.refusal, examination.refusals = None, 0
            return
        if verdict != examination.refusal and verdict.kind != "contract":
            _announce_failure(replica, version, verdict)
        pause_s = doubled(FIRST_PAUSE_S, examination.refusals, LONGEST_PAUSE_S)
        examination.refusal, examination.not_before = verdict, self._clock() + pause_s
        examination.refusals += 1

    def _cancel(self, examination: _Examination) -> None:
        if examination.task:
            examination.task.cancel()

    # --- the contract of one version ------------------------------------------------------------------------------

    async def _contract(self, replica: Replica, version: int) -> Verdict:
        """Whether the version may be served at all; asks the replica only where none was asked before.

        Raises:
            ReplicaError: the replica did not answer, or with something else; nothing is remembered.
        """
        if (known := self._contracts.get(version)) is not None:
            return known
        verdict = await self._ask(replica.address, version)
        if version in self._contracts:  # replicas are probed all at once, and find a new version together
            return self._contracts[version]
        if replica in self._pool.replicas:  # the model of one that was removed may not be that of the others
            self._contracts[version] = verdict
            _announce(version, verdict)
        return verdict

    async def _ask(self, address: str, version: int) -> Verdict:
        name = self._terms.model_name
        signatures = await self._client.signatures(address, name, version)
        described = await self._client.describe(address, name, version) if DESCRIBE in signatures else None
        try:
            return accept(str(version), signatures, described, self._terms)
        except ContractError as error:
            return Refusal("contract", f"version {version} is refused: {error}")


def _not_loaded(replica: Replica, version: int, error: str) -> Refusal:
    """The refusal for a load error; logged unless the last probe found the same."""
    refusal = Refusal("load", f"version {version} could not be loaded: {error}")
    if replica.refused.get(version) != refusal:
        _announce_failure(replica, version, refusal)
    return refusal


def _announce_failure(replica: Replica, version: int, refusal: Refusal) -> None:
    log.warning("model version fails", replica=replica.address, version=version, reason=refusal.reason)


def _announce(version: int, verdict: Verdict) -> None:
    if isinstance(verdict, Refusal):
        log.error("model version refused", version=version, reason=verdict.reason)
        return
    title, classes = verdict.description.title, len(verdict.labels)
    log.info("model version accepted", version=version, title=title, classes=classes, signature=verdict.signature)
    if verdict.description.demo:
        log.warning("demo model", version=version, summary=verdict.description.summary)
