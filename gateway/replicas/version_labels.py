"""Version labels: names such as `stable` that the replicas' own configuration gives to versions.

Source: docs/tensorflow-serving.md, "Version labels".
"""

import orjson

from gateway.errors import DeadlineError, GatewayError, OverloadedError, UpstreamError, VersionNotServedError
from gateway.failures import RETRY_AFTER_S
from gateway.replicas.dispatch import Dispatcher
from gateway.tfserving import Call, Reply

KNOWN_FOR_S = 1.0
"""An operator may move a label at any time. One look-up a second is cheap, one for each request is not."""


class VersionLabels:
    """Asks the replica whose turn it is, and remembers its answer for a second."""

    def __init__(self, dispatcher: Dispatcher, model_name: str) -> None:
        self._dispatcher = dispatcher
        self._model_name = model_name
        self._known: dict[str, tuple[str, float]] = {}
        """Label -> its version and when it was learnt. Only labels that exist, so there are few."""

    async def version(self, label: str, *, now: float, deadline: float) -> str:
        """The number of the version with this label.

        Raises:
            VersionNotServedError: the replicas know no such label, or do not serve its version.
            GatewayError: no replica could be asked, or every one that was asked failed.
        """
        version, learnt = self._known.get(label, ("", float("-inf")))
        if now - learnt > KNOWN_FOR_S:
            self._known.pop(label, None)
            version = await self._ask(label, deadline)
            self._known[label] = version, now
        return version

    async def _ask(self, label: str, deadline: float) -> str:
        target = f"/v1/models/{self._model_name}/labels/{label}/metadata"
        reply = await self._dispatcher.forward(Call("GET", target, {}, b""), deadline=deadline)
        if reply.status in (400, 404):
            raise VersionNotServedError(f"No replica has a version labelled {label}.")
        if reply.status != 200:
            raise _failure(reply)
        try:
            return str(int(orjson.loads(reply.body)["model_spec"]["version"]))
        except (ValueError, KeyError, TypeError) as cause:
            raise UpstreamError("no replica that was asked gave a usable answer") from cause


def _failure(reply: Reply) -> GatewayError:
    """The last replica's refusal as an answer to the client; every other one that was asked failed too."""
    if reply.status in (429, 503):
        return OverloadedError("every replica that was asked is busy", retry_after_s=RETRY_AFTER_S)
    if reply.status == 504:
        return DeadlineError("no replica that was asked answered in time")
    return UpstreamError("no replica that was asked gave a usable answer")
