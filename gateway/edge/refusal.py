"""The answer to what never became a request: written straight to the connection, counted and logged like any other."""

import structlog

from gateway import metrics, tracing
from gateway.errors import GatewayError
from gateway.logs import REQUEST_ID, UNROUTED
from gateway.problems import MEDIA_TYPE, to_problem

log = structlog.get_logger()


def refusal(error: GatewayError) -> bytes:
    """A whole answer, after which the connection closes."""
    return _answer(error, tracing.random_hex(16))


def logged_refusal(error: GatewayError, seconds: float) -> bytes:
    """The same, counted and with its line in the log; `seconds` since the client began."""
    request_id = tracing.random_hex(16)
    metrics.PROBLEMS.labels(error.slug).inc()
    metrics.REQUESTS.labels(UNROUTED, error.status).inc()
    ms = round(seconds * 1000, 1)
    log.info("request", route=UNROUTED, status=error.status, ms=ms, problem=error.slug, request_id=request_id)
    return _answer(error, request_id)


def _answer(error: GatewayError, request_id: str) -> bytes:
    body = to_problem(error, request_id).model_dump_json().encode()
    head = [
        f"HTTP/1.1 {error.status} {error.title}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        f"{REQUEST_ID.decode()}: {request_id}",
        "connection: close",
    ]
    if error.retry_after_s is not None:
        head.append(f"retry-after: {error.retry_after_s}")
    return "\r\n".join([*head, "", ""]).encode() + body
