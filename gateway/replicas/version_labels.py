"""Version labels: names such as `stable` that the replicas' own configuration gives to versions.

Source: docs/tensorflow-serving.md, "Version labels".
"""

import orjson

from gateway.errors import VersionNotServedError
from gateway.replicas.dispatch import Dispatcher
from gateway.tfserving import Call

KNOWN_FOR_S = 1.0
"""A label may be moved at any time; by the second a look-up is dearer than being late."""


class VersionLabels:
    """Asks whichever replica is in turn, and remembers the answer for a second."""

    def __init__(self, dispatcher: Dispatcher, model_name: str) -> None:
        self._dispatcher = dispatcher
        self._model_name = model_name
        self._known: dict[str, tuple[str, float]] = {}
        """Version and when it was learnt; of labels that exist, so there are few."""

    async def version(self, label: str, *, now: float, deadline: float) -> str:
        """The version that bears the label.

        Raises:
            VersionNotServedError: none does.
            GatewayError: no replica could be asked.
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
        try:
            return str(int(orjson.loads(reply.body)["model_spec"]["version"]))
        except (ValueError, KeyError, TypeError) as cause:
            raise VersionNotServedError(f"No replica has a version labelled {label}.") from cause
