"""What was raised becomes what is answered: problem+json (RFC 9457), or TensorFlow Serving's form on its paths."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import (
    GatewayError,
    InvalidParameterError,
    MethodNotAllowedError,
    NotFoundError,
    ShuttingDownError,
)
from gateway.http.lifecycle import Lifecycle
from gateway.observe import metrics, tracing
from gateway.observe.logs import REQUEST_ID, UNROUTED

MEDIA_TYPE = "application/problem+json"
TF_SERVING_PATHS = "/v1/models/"
RETRY_AFTER_S = 1

log = structlog.get_logger()


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="Stable; a path that describes the problem.", examples=["/problems/missing-image"])
    title: str = Field(description="The same for every problem of the type.")
    status: int = Field(description="The HTTP status, once more.")
    detail: str = Field(description="What is wrong with this request and what to do, in a sentence.")
    request_id: str = Field(description="Also in the header X-Request-ID and in our log.")


def install(app: FastAPI, lifecycle: Lifecycle) -> None:
    """Every failure of the app leaves by this door."""
    app.add_exception_handler(GatewayError, answer)
    app.add_exception_handler(RequestValidationError, answer)
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(ClientDisconnect, _nobody_there)
    app.add_middleware(CatchUnforeseen, lifecycle=lifecycle)


class CatchUnforeseen:
    """A failure that no handler knows. Starlette's own catch stands outside the log and prints a second traceback."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except asyncio.CancelledError:
            if started or not self._lifecycle.grace_over:
                raise  # the client has left
            late = ShuttingDownError("This gateway stops; another one will answer.", retry_after_s=RETRY_AFTER_S)
            await (await answer(Request(scope), late))(scope, receive, send)
        except Exception as failure:  # whatever it is: the client gets a 500 and the log the traceback
            response = await answer(Request(scope), failure)
            if started:
                raise  # half an answer is out; the server must break the connection
            await response(scope, receive, send)


async def answer(request: Request, exc: Exception) -> Response:
    """The problem that `exc` means."""
    error = _as_gateway_error(exc)
    metrics.PROBLEMS.labels(error.slug).inc()
    if type(error) is GatewayError:  # nobody foresaw it: the one failure that is logged with its traceback
        log.error("defect", exc_info=exc)
    request.state.why = {"problem": error.slug} | ({"cause": str(error.__cause__)} if error.__cause__ else {})
    headers = dict(getattr(exc, "headers", None) or {})
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if request.url.path.startswith(TF_SERVING_PATHS):
        return JSONResponse({"error": error.detail}, error.status, headers)
    return JSONResponse(to_problem(error, request.state.request_id).model_dump(), error.status, headers, MEDIA_TYPE)


def to_problem(error: GatewayError, request_id: str) -> Problem:
    """The document that describes `error`."""
    return Problem(
        type=f"/problems/{error.slug}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        request_id=request_id,
    )


async def _nobody_there(request: Request, exc: Exception) -> Response:
    """The client left; nothing will be sent, but a handler must return something."""
    return Response(status_code=499)


def _as_gateway_error(exc: Exception) -> GatewayError:
    if isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, RequestValidationError):
        return InvalidParameterError(first_mistake(exc.errors()))
    if isinstance(exc, HTTPException) and exc.status_code == HTTPStatus.NOT_FOUND:
        return NotFoundError("There is nothing at this address; /docs lists what there is.")
    if isinstance(exc, HTTPException) and exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowedError("This address does not take that method; see the header Allow.")
    return GatewayError("The failure has been logged under this request id.")


def first_mistake(mistakes: Sequence[Any]) -> str:
    """What pydantic says of a query string or a path, in a sentence."""
    mistake = mistakes[0]
    name = str(mistake["loc"][-1])[:40]
    if mistake["type"] == "extra_forbidden":
        return f"There is no query parameter {name!r}; /docs lists those that there are."
    return f"{name}: {mistake['msg']}."


# --- What never became a request -----------------------------------------------------------------------------------


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
