"""The simulated replica's gRPC side: the same model, and those of the faults that gRPC can carry."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from tests.chaos.simulator import messages, model
from tests.chaos.simulator.replica import SimulatedReplica

Context = Any
"""grpc.aio.ServicerContext; the library has no types."""
Method = Callable[[bytes, Context], Awaitable[bytes]]

CODES = {
    "status 500": grpc.StatusCode.INTERNAL,
    "status 503": grpc.StatusCode.UNAVAILABLE,
    "status 429": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "status 400": grpc.StatusCode.INVALID_ARGUMENT,
    "status 404": grpc.StatusCode.NOT_FOUND,
}
BUSY = "The batch scheduling queue to which this task was submitted is full"
"""The only case in which TensorFlow Serving itself answers UNAVAILABLE."""


def spoilt(fault: str, row: Sequence[float], version: int) -> bytes:
    """The answer to one picture, spoilt by the fault."""
    if fault == "garbage":
        return bytes(range(256))
    if fault == "wrong version":
        return messages.floats([row], version + 1)
    rows: Mapping[str, Sequence[Sequence[float]]] = {
        "": [row],
        "nan": [[float("nan"), *row[1:]]],
        "narrow": [row[:-1]],
        "no row": [],
    }
    return messages.floats(rows[fault], version)


class Api:
    """The methods that grpc calls."""

    def __init__(self, replica: SimulatedReplica) -> None:
        self._replica = replica

    async def predict(self, message: bytes, context: Context) -> bytes:
        """PredictionService.Predict: of a picture, or the description."""
        asked = messages.read_predict(message)
        behaviour = self._replica.behaviour
        if behaviour.versions.get(asked.version) != "AVAILABLE":
            await context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
        version = int(asked.version)
        if asked.signature == "describe":
            return messages.text(self._replica.description(asked.version), version)
        name, fault = await self._replica.work(version, asked.values)
        if fault in CODES:
            await context.abort(CODES[fault], BUSY if fault == "status 503" else "simulated")
        return spoilt(fault, model.probabilities(name, version), version)

    async def metadata(self, message: bytes, context: Context) -> bytes:
        """PredictionService.GetModelMetadata."""
        version = messages.read_version(message)
        if self._replica.behaviour.versions.get(version) != "AVAILABLE":
            await context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found for request")
        return messages.metadata(self._replica.behaviour.signatures, int(version))

    async def status(self, _: bytes, __: Context) -> bytes:
        """ModelService.GetModelStatus."""
        return messages.status(self._replica.behaviour.versions, self._replica.behaviour.load_errors)


async def start(replica: SimulatedReplica, address: str) -> grpc.aio.Server:
    """Start the server."""
    api = Api(replica)
    services: dict[str, dict[str, Method]] = {
        "tensorflow.serving.PredictionService": {"Predict": api.predict, "GetModelMetadata": api.metadata},
        "tensorflow.serving.ModelService": {"GetModelStatus": api.status},
    }
    handlers = [
        grpc.method_handlers_generic_handler(
            name, {method: grpc.unary_unary_rpc_method_handler(call) for method, call in methods.items()}
        )
        for name, methods in services.items()
    ]
    server = grpc.aio.server(handlers=handlers, options=[("grpc.so_reuseport", 0)])
    server.add_insecure_port(address)
    await server.start()
    return server
