"""gRPC connections: the threads and the wire are the library's, what is said over them is `grpc_api`'s.

Source: docs/tensorflow-serving.md, "gRPC".
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import grpc

from serving.standin import protowire
from serving.standin.errors import Code, StatusError
from serving.standin.grpc_api import GrpcApi

log = logging.getLogger(__name__)

Work = Callable[[bytes, int], bytes]
"""Request and milliseconds left (0: no limit) -> answer; raises StatusError."""

_LONGEST_MESSAGE = 1024
_GRACE_S = 30.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_HEALTH_SERVICES = ("", "ModelService", "PredictionService")
_SERVING = 1


class GrpcServer:
    """Bound and answering from `start` on."""

    def __init__(
        self, api: GrpcApi, *, threads: int, healthcheck: bool, options: Sequence[tuple[str, int | str]]
    ) -> None:
        """One call more than `threads` is refused with RESOURCE_EXHAUSTED, as --grpc_max_threads has it."""
        services: dict[str, dict[str, Work]] = {
            "tensorflow.serving.PredictionService": {
                "Predict": api.predict,
                "Classify": api.classify,
                "Regress": api.regress,
                "GetModelMetadata": api.metadata,
            },
            "tensorflow.serving.ModelService": {"GetModelStatus": api.status},
        }
        if healthcheck:
            services["grpc.health.v1.Health"] = {"Check": _check_health}
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


def _service(name: str, methods: dict[str, Work]) -> grpc.GenericRpcHandler:
    handlers = {method: grpc.unary_unary_rpc_method_handler(_answering(work)) for method, work in methods.items()}
    return grpc.method_handlers_generic_handler(name, handlers)


def _answering(work: Work) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return work(message, _timeout_ms(context))
        except StatusError as error:
            failure = error
        except Exception:
            log.exception("A call was not answered")
            failure = StatusError(Code.INTERNAL, "The failure has been logged")
        _abort(context, failure)

    return answer


def _timeout_ms(context: grpc.ServicerContext) -> int:
    left_s = context.time_remaining()
    return 0 if left_s is None else max(1, int(left_s * 1000))


def _abort(context: grpc.ServicerContext, error: StatusError) -> NoReturn:
    details = error.message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if len(details) > _LONGEST_MESSAGE:
        details = f"{details[:_LONGEST_MESSAGE]}...TRUNCATED"
    context.abort(_CODES[error.code], details)
    raise AssertionError("abort raises")


def _check_health(message: bytes, _: int) -> bytes:
    """grpc.health.v1: HealthCheckRequest.service -> HealthCheckResponse.status, which never changes."""
    if protowire.text(protowire.read(message), 1) not in _HEALTH_SERVICES:
        raise StatusError(Code.NOT_FOUND, "")
    return protowire.write_int(1, _SERVING)
