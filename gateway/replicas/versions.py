"""Which version of the model a request is bound to.

By default a request takes the version of the replica whose turn it is, and stays with it: a retry, and the rest of a
batch, go to replicas that have the same one while there are any. A caller may ask for a version, by its number or by a
label such as `stable` that the replicas' own configuration gives it (docs/tensorflow-serving.md, "Version labels"). And
a set share of the callers, always the same ones, may be sent to a canary.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

import orjson

from gateway.errors import RETRY_AFTER_S, GatewayError, NoReplicaError, VersionNotServedError
from gateway.failures import BadAnswerError, of_http
from gateway.tfserving import MALFORMED, Call, Reply

SIXTY_FOUR_BITS = 2**64
LABEL_KNOWN_FOR_S = 1.0
"""An operator may move a label at any time. One look-up a second is cheap, one for each request is not."""


@dataclass
class Binding:
    """The version of one request, or of one batch."""

    version: str | None = None
    """None until the first replica has been picked."""
    strict: bool = False
    """The caller asked for it: no other will do."""


def not_served(binding: Binding, served: Collection[str]) -> GatewayError:
    """The error where no replica can answer a request with this binding."""
    if binding.strict and served:
        listed = ", ".join(sorted(served, key=int))
        return VersionNotServedError(f"Version {binding.version} is not served; served: {listed}.")
    return NoReplicaError("no replica serves this model at the moment", retry_after_s=RETRY_AFTER_S)


@dataclass(frozen=True)
class Canary:
    """A version on trial, and the share of callers who get it."""

    version: str
    share: float
    """0..1"""

    def takes(self, caller: str) -> bool:
        """Whether this caller is one of them; the same answer every time, for every gateway."""
        digest = hashlib.blake2b(f"{self.version}\n{caller}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.share * SIXTY_FOUR_BITS


class Forward(Protocol):
    """Passes a call on to the replica whose turn it is."""

    def __call__(self, call: Call, *, deadline: float) -> Awaitable[Reply]: ...


class Versions:
    """Binds requests."""

    def __init__(
        self, forward: Forward, *, model_name: str, canary: Canary | None, caller_of: Callable[[Any], str]
    ) -> None:
        """`caller_of`: the caller of a request, in words that stay the same."""
        self.canary = canary
        self._forward = forward
        self._model_name = model_name
        self._caller_of = caller_of
        self._labels: dict[str, tuple[str, float]] = {}
        """Label -> its version and when it was learnt. Only labels that exist, so there are few."""

    async def binding(self, asked: str | None, request: Any, *, deadline: float) -> Binding:
        """The binding of a new request.

        Args:
            asked: the number or the label of a version; None: any will do.

        Raises:
            VersionNotServedError: the replicas know no such label, or do not serve its version.
            GatewayError: no replica could be asked for the label, or every one that was asked failed.
        """
        if asked is not None:
            number = asked if asked.isdecimal() else await self.labelled(asked, deadline=deadline)
            return Binding(str(int(number)), strict=True)
        if self.canary and self.canary.takes(self._caller_of(request)):
            return Binding(self.canary.version)
        return Binding()

    async def labelled(self, label: str, *, deadline: float) -> str:
        """The number of the version that has the label; raises what `binding` raises."""
        now = asyncio.get_running_loop().time()
        version, learnt = self._labels.get(label, ("", float("-inf")))
        if now - learnt > LABEL_KNOWN_FOR_S:
            self._labels.pop(label, None)
            version = await self._look_up(label, deadline)
            self._labels[label] = version, now
        return version

    async def _look_up(self, label: str, deadline: float) -> str:
        target = f"/v1/models/{quote(self._model_name, safe='')}/labels/{quote(label, safe='')}/metadata"
        reply = await self._forward(Call("GET", target, {}, b""), deadline=deadline)
        if reply.status in (400, 404):
            raise VersionNotServedError(f"No replica has a version labelled {label}.")
        if reply.status != 200:
            raise of_http(reply.status, "").as_answer()
        try:
            return str(int(orjson.loads(reply.body)["model_spec"]["version"]))
        except MALFORMED as cause:
            raise BadAnswerError("").as_answer() from cause
