"""One replica, one call: what the gateway asks of a model server, whichever API carries it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from gateway.failures import of_http
from gateway.imaging import Pixels
from gateway.labels import Description, Probabilities
from gateway.tfserving.contract import ServedModel, Signature


@dataclass(frozen=True)
class Call:
    """A request on TensorFlow Serving's own paths, to be passed on as it came."""

    method: str
    target: str
    """Path as sent by the client, still percent-encoded."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What a replica answered."""

    status: int
    content_type: str
    body: bytes

    def body_if_200(self) -> bytes:
        """The body; any other status becomes the `ReplicaError` it means.

        The body is not quoted: it may repeat what the client sent, and the reason is logged.
        """
        if self.status != 200:
            raise of_http(self.status, f"status {self.status}")
        return self.body


class VersionStatus(NamedTuple):
    """One version in a replica's status."""

    state: str
    """`AVAILABLE`, `LOADING`, ... as in the protocol."""
    error: str = ""
    """Why it could not be loaded; empty: it could, or it is still to be."""


class TFServing(Protocol):
    """Speaks to every replica. All methods raise `ReplicaError`: one attempt failed.

    The caller sets the time limit, with `asyncio.timeout`; a call that is cancelled leaves nothing behind.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *failure: object) -> None:
        """Closes every connection."""

    async def status(self, address: str, model: str) -> dict[int, VersionStatus]:
        """Each version that the replica knows, with its state."""

    async def signatures(self, address: str, model: str, version: int) -> dict[str, Signature]:
        """The signatures of one version with their tensors."""

    async def describe(self, address: str, model: str, version: int) -> Description:
        """What one version says of itself: labels, fingerprint, metrics."""

    async def predict(
        self, address: str, model: ServedModel, pixels: Pixels, *, timeout_s: float | None = None
    ) -> Probabilities:
        """Probabilities of one picture; uint8 (224, 224, 3) -> float32 (classes,).

        Args:
            timeout_s: handed on to the replica where the API can say it; no time limit of this call.
        """

    async def forward(self, address: str, call: Call) -> Reply:
        """A client's own call on TensorFlow Serving's REST paths, and whatever the replica answers to it."""
