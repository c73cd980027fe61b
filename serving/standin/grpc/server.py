"""The gRPC server: decodes requests, calls the methods, and turns their errors into status codes."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from protocol.tensorflow_serving_pb2 import (
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    HealthCheckRequest,
    HealthCheckResponse,
    PredictRequest,
    RegressionRequest,
)
from serving.standin import limits
from serving.standin.errors import Code, StatusError
from serving.standin.grpc.methods import GrpcApi
from serving.standin.models.servable import Caller

log = logging.getLogger(__name__)

_Request = TypeVar("_Request", bound=Message)
Method = tuple[type[_Request], Callable[[_Request, Caller], Message]]
"""Type of the request, and its handler: request and caller to response, or StatusError."""

_LONGEST_MESSAGE = 1024
_LONGEST_TIMEOUT_S = 1e9
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_HEALTH_SERVICES = ("", "ModelService", "PredictionService")


class GrpcServer:
    """Binds its addresses in `start`."""

    def __init__(
        self, api: GrpcApi, *, threads: int, healthcheck: bool, options: Sequence[tuple[str, int | str]]
    ) -> None:
        """Calls beyond `threads` at once are refused with RESOURCE_EXHAUSTED, as with --grpc_max_threads."""
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            handlers=[_service(name, methods) for name, methods in _services(api, healthcheck=healthcheck).items()],
            options=[
                (
                    "grpc.so_reuseport",
                    0,
                ),  # or a second server on the port would share its connections, without an error
                ("grpc.max_receive_message_length", limits.BODY_BYTES),
                ("grpc.max_send_message_length", -1),
                *options,
            ],
            maximum_concurrent_rpcs=threads,
        )

    def start(self, addresses: Sequence[str]) -> None:
        """Raises OSError: an address cannot be bound."""
        for address in addresses:
            try:
                self._server.add_insecure_port(address)
            except RuntimeError as cause:
                raise OSError(
                    f"{address} cannot be used for gRPC; set --port to a free port, or to 0 to turn gRPC off"
                ) from cause
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Accept no more calls, and return when every call in progress has its response or `grace_s` is over."""
        self._server.stop(grace_s).wait()


def _services(api: GrpcApi, *, healthcheck: bool) -> dict[str, dict[str, Method[Any]]]:
    """Methods by name, by name of their service."""
    services: dict[str, dict[str, Method[Any]]] = {
        "tensorflow.serving.PredictionService": {
            "Predict": (PredictRequest, api.predict),
            "Classify": (ClassificationRequest, api.classify),
            "Regress": (RegressionRequest, api.regress),
            "GetModelMetadata": (GetModelMetadataRequest, api.metadata),
        },
        "tensorflow.serving.ModelService": {"GetModelStatus": (GetModelStatusRequest, api.status)},
    }
    if healthcheck:
        services["grpc.health.v1.Health"] = {"Check": (HealthCheckRequest, _check_health)}
    return services


def _service(service: str, methods: dict[str, Method[Any]]) -> grpc.GenericRpcHandler:
    handlers = {name: grpc.unary_unary_rpc_method_handler(_answering(*method)) for name, method in methods.items()}
    return grpc.method_handlers_generic_handler(service, handlers)


def _answering(
    kind: type[_Request], work: Callable[[_Request, Caller], Message]
) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            caller = Caller(context.is_active, _timeout_ms(context))
            caller.check()
            return work(_parsed(kind, message), caller).SerializeToString()
        except StatusError as error:
            failure = error
        except Exception:
            log.exception("A call failed for an unforeseen reason")
            failure = StatusError(Code.INTERNAL, "The failure has been logged")
        _abort(context, failure)

    return answer


def _parsed(kind: type[_Request], message: bytes) -> _Request:
    try:
        return kind.FromString(message)
    except DecodeError as cause:
        raise StatusError(Code.DATA_LOSS, "Cannot parse a protocol buffer") from cause


def _timeout_ms(context: grpc.ServicerContext) -> int:
    """0 for no limit: without a deadline, 292 million years remain."""
    left_s: float | None = context.time_remaining()
    return 0 if left_s is None or left_s > _LONGEST_TIMEOUT_S else max(1, int(left_s * 1000))


def _abort(context: grpc.ServicerContext, error: StatusError) -> NoReturn:
    details = error.text
    if len(details) > _LONGEST_MESSAGE:
        details = f"{details[:_LONGEST_MESSAGE]}...TRUNCATED"
    context.abort(_CODES[error.code], details)
    raise AssertionError("abort raises")


def _check_health(request: HealthCheckRequest, _: Caller) -> HealthCheckResponse:
    if request.service not in _HEALTH_SERVICES:
        raise StatusError(Code.NOT_FOUND, "")
    return HealthCheckResponse(status=HealthCheckResponse.SERVING)
