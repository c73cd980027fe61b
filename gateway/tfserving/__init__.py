"""One replica, one call: what the gateway asks of a model server, whichever API carries it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self
from urllib.parse import quote

from gateway.errors import PredictBodyError
from gateway.failures import BodyUnfitError, of_http
from gateway.imaging import Pixels
from gateway.labels import Description
from gateway.tfserving.contract import Prediction, ServedModel, Signature
from gateway.tfserving.fit import check
from gateway.tfserving.inspection import Document

MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a JSON answer of another form raises: infinity as a version, lists a thousand deep as a text."""


@dataclass(frozen=True)
class Call:
    """A request on TensorFlow Serving's own paths, to be passed on."""

    method: str
    target: str
    """The path, percent-encoded, with the query string."""
    headers: Mapping[str, str]
    body: bytes
    document: Document | None = None
    """What the body holds; None: there is no body."""

    def misfit(self, model: ServedModel) -> PredictBodyError | None:
        """Why the body does not fit a version; None: it does, or there is none."""
        try:
            if self.document is not None:
                check(self.document, model.signatures)
        except PredictBodyError as error:
            return error.with_traceback(None)
        return None

    def to(self, model: ServedModel) -> "Call":
        """The call as one version gets it: its body fits that version, and its path names it.

        Without the number in the path, a version that has been loaded since would get a body that was held against the
        signatures of another.

        Raises:
            BodyUnfitError: the body does not fit.
        """
        if self.document is None:
            return self
        if misfit := self.misfit(model):
            raise BodyUnfitError(misfit.detail)
        target = f"/v1/models/{quote(model.name, safe='')}/versions/{model.version}:{self.document.verb}"
        return replace(self, target=target)


@dataclass(frozen=True)
class Reply:
    """What a replica answered."""

    status: int
    content_type: str
    body: bytes

    @property
    def is_json(self) -> bool:
        """Every answer to a call that was passed on is (docs/tensorflow-serving.md, "Errors")."""
        return self.content_type.partition(";")[0].strip().lower() == "application/json"

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
    ) -> Prediction:
        """The answer for one picture, uint8 (224, 224, 3).

        Args:
            timeout_s: handed on to the replica where the API can say it; no time limit of this call.
        """

    async def forward(self, address: str, call: Call) -> Reply:
        """A client's own call on TensorFlow Serving's REST paths, and whatever the replica answers to it."""
