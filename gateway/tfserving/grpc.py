"""TensorFlow Serving's gRPC API. Only this file imports grpc.

A channel an address: it holds one connection, sees at once when the server closes it, and opens it anew by itself.
A call on one without fails at once for a moment (`LONGEST_PAUSE_MS`) after an attempt to connect has failed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import grpc.aio
from pydantic import ValidationError

from gateway.failures import (
    BadAnswerError,
    ConnectionLostError,
    ReplicaBusyError,
    ReplicaError,
    ReplicaUnreachableError,
    of_grpc,
)
from gateway.imaging import Pixels
from gateway.labels import Description
from gateway.observe import tracing
from gateway.tfserving import Call, Reply, VersionStatus, protobuf
from gateway.tfserving.contract import DESCRIBE, Prediction, ServedModel, Signature
from gateway.tfserving.rest import MAX_REASON, MAX_REPLY_BYTES, RestClient, grpc_address

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

LONGEST_PAUSE_MS = 250
"""Between two attempts to open a connection."""
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 30_000, 5_000
"""A ping where a call has been silent for so long, and how long its answer may take: finds half-open connections."""
LATER_S = 0.2
"""The replica's limit comes after the caller's, who knows whether a time-out is a failure of the replica."""
IDLE_S = 600.0
"""A channel without a call for so long, not even a probe, belongs to an address that is gone."""


@dataclass
class Channel:
    """The connection to one address."""

    wire: grpc.aio.Channel
    methods: Mapping[str, Any]
    used: float
    """When last, on the event loop's clock."""
    calls: int = field(default=0)
    """Under way."""


class GrpcClient:
    """Speaks gRPC to every replica; what clients send to TensorFlow Serving's REST paths goes on over REST."""

    def __init__(self, rest: RestClient, *, usual_port: int = 8500, connect_timeout_s: float = 1) -> None:
        """`usual_port`: of replicas whose address names no other."""
        self._rest = rest
        self._usual_port = usual_port
        self._options = _options(connect_timeout_s)
        self._channels: dict[str, Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        for channel in self._channels.values():
            await channel.wire.close()
        await self._rest.__aexit__(*failure)

    async def status(self, address: str, model: str) -> dict[int, VersionStatus]:
        """Each version that the replica knows, with its state."""
        return protobuf.states(await self._call(address, STATUS, protobuf.status_request(model)))

    async def signatures(self, address: str, model: str, version: int) -> dict[str, Signature]:
        """The signatures of one version with their tensors."""
        return protobuf.signatures(await self._call(address, METADATA, protobuf.metadata_request(model, version)))

    async def describe(self, address: str, model: str, version: int) -> Description:
        """What one version says of itself. Asks for the name of the input first, which gRPC wants to be told."""
        signature = (await self.signatures(address, model, version)).get(DESCRIBE)
        if signature is None or len(signature.inputs) != 1:
            raise BadAnswerError("describe takes other inputs than this gateway knows")
        request = protobuf.describe_request(model, version, next(iter(signature.inputs)))
        answer = await self._call(address, PREDICT, request)
        try:
            return Description.model_validate_json(protobuf.description_text(answer))
        except ValidationError as cause:
            raise BadAnswerError("describe answers with another document than this gateway knows") from cause

    async def predict(
        self, address: str, model: ServedModel, pixels: Pixels, *, timeout_s: float | None = None
    ) -> Prediction:
        """The answer for one picture; the replica gives up soon after `timeout_s`, too."""
        limit_s = None if timeout_s is None else timeout_s + LATER_S
        answer = await self._call(address, PREDICT, protobuf.predict_request(model, pixels), limit_s)
        return protobuf.prediction(model, answer)

    async def forward(self, address: str, call: Call) -> Reply:
        """A client's own REST call."""
        return await self._rest.forward(address, call)

    async def _call(self, address: str, method: str, message: bytes, timeout_s: float | None = None) -> bytes:
        channel = await self._channel(address)
        channel.calls += 1
        try:
            named = tuple(tracing.outgoing().items())
            answer: bytes = await channel.methods[method](message, timeout=timeout_s, metadata=named)
        except grpc.aio.AioRpcError as cause:
            target = grpc_address(address, self._usual_port)
            raise _failure(target, cause.code(), (cause.details() or "")[:MAX_REASON]) from cause
        finally:
            channel.calls -= 1
        return answer

    async def _channel(self, address: str) -> Channel:
        now = asyncio.get_running_loop().time()
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._open(address, now)
            await self._close_idle(now)
        channel.used = now
        return channel

    def _open(self, address: str, now: float) -> Channel:
        wire = grpc.aio.insecure_channel(grpc_address(address, self._usual_port), self._options)
        return Channel(wire, {method: wire.unary_unary(method) for method in (PREDICT, METADATA, STATUS)}, now)

    async def _close_idle(self, now: float) -> None:
        idle = [a for a, channel in self._channels.items() if not channel.calls and now - channel.used > IDLE_S]
        for channel in [self._channels.pop(address) for address in idle]:
            await channel.wire.close()


def _options(connect_timeout_s: float) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.min_reconnect_backoff_ms", int(connect_timeout_s * 1000)),  # is how long connecting may take
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", LONGEST_PAUSE_MS),
        ("grpc.dns_min_time_between_resolutions_ms", LONGEST_PAUSE_MS),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.client_idle_timeout_ms", 60_000),
        ("grpc.use_local_subchannel_pool", 1),  # otherwise a new channel shares the old one's pauses
        ("grpc.enable_retries", 0),  # the dispatcher's business
        ("grpc.enable_http_proxy", 0),  # as over REST: the environment is not asked
        ("grpc.service_config_disable_resolution", 1),
    ]


def _failure(target: str, code: grpc.StatusCode, details: str) -> ReplicaError:
    """What a status means (docs/tensorflow-serving.md, "gRPC"). The library's own and the server's have one form."""
    if code is grpc.StatusCode.UNAVAILABLE:
        return _unavailable(target, details)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return BadAnswerError(f"the answer is larger than {MAX_REPLY_BYTES} bytes")
    return of_grpc(code.name, f"{code.name}: {details[:200]!r}")


def _unavailable(target: str, details: str) -> ReplicaError:
    if "batch scheduling queue" in details:  # the one case in which TensorFlow Serving says it itself
        return ReplicaBusyError(f"UNAVAILABLE: {details[:200]!r}")
    if details.startswith(("failed to connect", "errors resolving", "DNS resolution failed")):
        return ReplicaUnreachableError(f"no gRPC connection to {target}")
    return ConnectionLostError(f"the gRPC connection to {target} broke")
