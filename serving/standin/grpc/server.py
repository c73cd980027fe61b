"""gRPC connections: the threads and the wire are the library's, what is said over them is `grpc_api`'s (section 10)."""

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
from serving.standin.errors import Code, StatusError
from serving.standin.grpc.methods import GrpcApi

log = logging.getLogger(__name__)

_Request = TypeVar("_Request", bound=Message)
Method = tuple[type[_Request], Callable[[_Request, int], Message]]
"""The request's type, and what answers it: request and milliseconds left (0: no limit) -> answer, or StatusError."""

_LONGEST_MESSAGE = 1024
_GRACE_S = 30.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_HEALTH_SERVICES = ("", "ModelService", "PredictionService")


class GrpcServer:
    """Bound and answering from `start` on."""

    def __init__(
        self, api: GrpcApi, *, threads: int, healthcheck: bool, options: Sequence[tuple[str, int | str]]
    ) -> None:
        """One call more than `threads` is refused with RESOURCE_EXHAUSTED, as --grpc_max_threads has it."""
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
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            handlers=[_service(name, methods) for name, methods in services.items()],
            options=[
                ("grpc.so_reuseport", 0),  # two servers on one port would share its connections, unnoticed
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                *options,
            ],
            maximum_concurrent_rpcs=threads,
        )

    def start(self, addresses: Sequence[str]) -> None:
        """Raises OSError: one of them cannot be had."""
        for address in addresses:
            try:
                self._server.add_insecure_port(address)
            except RuntimeError as cause:
                raise OSError(f"{address} cannot be used for gRPC; --port names another, 0 does without") from cause
        self._server.start()

    def stop(self) -> None:
        """Takes no more calls; returns when every one that was under way has been answered."""
        self._server.stop(_GRACE_S).wait()


def _service(service: str, methods: dict[str, Method[Any]]) -> grpc.GenericRpcHandler:
    handlers = {name: grpc.unary_unary_rpc_method_handler(_answering(*method)) for name, method in methods.items()}
    return grpc.method_handlers_generic_handler(service, handlers)


def _answering(
    kind: type[_Request], work: Callable[[_Request, int], Message]
) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return work(_parsed(kind, message), _timeout_ms(context)).SerializeToString()
        except StatusError as error:
            failure = error
        except Exception:
            log.exception("A call was not answered")
            failure = StatusError(Code.INTERNAL, "The failure has been logged")
        _abort(context, failure)

    return answer


def _parsed(kind: type[_Request], message: bytes) -> _Request:
    try:
        return kind.FromString(message)
    except DecodeError as cause:
        raise StatusError(Code.DATA_LOSS, "Cannot parse a protocol buffer") from cause


def _timeout_ms(context: grpc.ServicerContext) -> int:
    left_s = context.time_remaining()
    return 0 if left_s is None else max(1, int(left_s * 1000))


def _abort(context: grpc.ServicerContext, error: StatusError) -> NoReturn:
    details = error.text
    if len(details) > _LONGEST_MESSAGE:
        details = f"{details[:_LONGEST_MESSAGE]}...TRUNCATED"
    context.abort(_CODES[error.code], details)
    raise AssertionError("abort raises")


def _check_health(request: HealthCheckRequest, _: int) -> HealthCheckResponse:
    if request.service not in _HEALTH_SERVICES:
        raise StatusError(Code.NOT_FOUND, "")
    return HealthCheckResponse(status=HealthCheckResponse.SERVING)
