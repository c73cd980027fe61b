"""The versions of the model, each asked once what it is: accepted as it will be served, or refused with a reason."""

from collections.abc import Collection

import structlog

from gateway import imaging
from gateway.errors import ContractError
from gateway.tfserving import TFServing
from gateway.tfserving.contract import DESCRIBE, ServedModel, Terms, accept

log = structlog.get_logger()


class Catalog:
    """Verdicts by version, for as long as some replica holds the version."""

    def __init__(self, client: TFServing, terms: Terms) -> None:
        self._client = client
        self._terms = terms
        self._verdicts: dict[int, ServedModel | ContractError] = {}

    async def verdict(self, address: str, version: int) -> ServedModel | ContractError:
        """What to make of one version; asks the replica only when nobody has been asked before.

        Raises:
            ReplicaError: the replica could not be asked; nothing is remembered.
        """
        if (known := self._verdicts.get(version)) is not None:
            return known
        verdict = await self._ask(address, version)
        if version not in self._verdicts:  # replicas are probed all at once, and find a new version together
            self._verdicts[version] = verdict
            _announce(version, verdict)
        return self._verdicts[version]

    async def prove(self, address: str, model: ServedModel) -> None:
        """Ask one replica for the golden picture: the answer must be finite, and as wide as there are labels.

        Raises:
            ReplicaError: it is not, or there is none.
        """
        await self._client.predict(address, model, imaging.golden_picture())

    async def _ask(self, address: str, version: int) -> ServedModel | ContractError:
        name = self._terms.model_name
        signatures = await self._client.signatures(address, name, version)
        described = await self._client.describe(address, name, version) if DESCRIBE in signatures else None
        try:
            return accept(str(version), signatures, described, self._terms)
        except ContractError as refusal:
            return refusal

    def keep(self, versions: Collection[int]) -> None:
        """Forget all other versions: should a number come back, it may hold another model."""
        self._verdicts = {version: verdict for version, verdict in self._verdicts.items() if version in versions}


def _announce(version: int, verdict: ServedModel | ContractError) -> None:
    if isinstance(verdict, ContractError):
        log.error("model version refused", version=version, reason=str(verdict))
    else:
        title, classes = verdict.description.title, len(verdict.labels)
        log.info("model version accepted", version=version, title=title, classes=classes, signature=verdict.signature)
        if verdict.description.demo:
            log.warning("demo model", version=version, summary=verdict.description.summary)
