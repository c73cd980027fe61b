"""Every failure becomes an answer here: problem+json (RFC 9457), or TensorFlow Serving's form on its paths.

`noted` counts each problem and logs each defect, whichever way the problem reaches the client: as the answer to a
request (`answer`), as the result of one picture of a batch (`noted_problem`), or as bytes on a connection whose request
never reached the application (`refusal`).
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import (
    RETRY_AFTER_S,
    GatewayError,
    InvalidParameterError,
    MethodNotAllowedError,
    NotFoundError,
    ShuttingDownError,
)
from gateway.http.headers import OF_DATA
from gateway.http.lifecycle import Lifecycle
from gateway.observe import logs, metrics, tracing

MEDIA_TYPE = "application/problem+json"
TF_SERVING_PATHS = "/v1/models/"

_OF_REFUSALS = {name.decode(): value.decode() for name, value in OF_DATA}

log = structlog.get_logger()


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(
        description="Path of a page that explains this type of problem; stable.", examples=["/problems/missing-image"]
    )
    title: str = Field(description="Summary of the problem type; the same in every answer of that type.")
    status: int = Field(description="The HTTP status code, repeated.")
    detail: str = Field(description="What is wrong with this request and what to do, in one or two sentences.")
    request_id: str = Field(description="Also in the header X-Request-ID and in the gateway's log.")


def install(app: FastAPI, lifecycle: Lifecycle) -> None:
    """Let every failure of the app be answered here."""
    app.add_exception_handler(GatewayError, answer)
    app.add_exception_handler(RequestValidationError, answer)
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.add_middleware(CatchUnforeseen, lifecycle=lifecycle)


class CatchUnforeseen:
    """Answers failures that no handler is registered for.

    Starlette's own middleware for them stands outside the request log and prints a second traceback.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if logs.answered(scope) or not self._lifecycle.grace_over:
                raise  # the client has left
            await (await answer(Request(scope), stopping()))(scope, receive, send)
        except Exception as failure:  # of whatever kind: the client gets a 500 and the log the traceback
            response = await answer(Request(scope), failure)
            if logs.answered(scope):
                raise  # half an answer is out; the server must break the connection
            await response(scope, receive, send)


def stopping() -> GatewayError:
    """The error for a request that is cancelled because the gateway stops."""
    return ShuttingDownError("This gateway is stopping; send the request again.", retry_after_s=RETRY_AFTER_S)


def noted(failure: BaseException) -> GatewayError:
    """The problem that `failure` means to a client, counted; a defect is logged with its traceback."""
    error = _as_gateway_error(failure)
    metrics.PROBLEMS.labels(error.slug).inc()
    if type(error) is GatewayError:  # not a foreseen failure, so a defect
        log.error("defect", exc_info=failure)
    return error


def _as_gateway_error(failure: BaseException) -> GatewayError:
    if isinstance(failure, GatewayError):
        return failure
    if isinstance(failure, RequestValidationError):
        return InvalidParameterError(first_mistake(failure.errors()))
    if isinstance(failure, HTTPException) and failure.status_code == HTTPStatus.NOT_FOUND:
        return NotFoundError("There is nothing at this address; /docs lists every address.")
    if isinstance(failure, HTTPException) and failure.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowedError("This address does not take that method; the header Allow lists those it takes.")
    return GatewayError("The failure has been logged under this request id.")


def first_mistake(mistakes: Sequence[Any]) -> str:
    """The first of pydantic's complaints about a query string or a path, as a sentence."""
    mistake = mistakes[0]
    name = str(mistake["loc"][-1])[:40]
    if mistake["type"] == "extra_forbidden":
        return f"There is no query parameter {name!r}; /docs lists every parameter."
    return f"{name}: {mistake['msg']}."


# --- Ways to the client -------------------------------------------------------------------------------------------


async def answer(request: Request, failure: Exception) -> Response:
    """The answer to a request that failed."""
    error = noted(failure)
    request.state.why = {"problem": error.slug} | _cause(error)
    headers = dict(getattr(failure, "headers", None) or {}) | _headers(error)
    if request.url.path.startswith(TF_SERVING_PATHS):
        return JSONResponse({"error": error.detail}, error.status, headers)
    return Response(_body(error, request.state.request_id), error.status, headers, MEDIA_TYPE)


def _cause(error: GatewayError) -> dict[str, str]:
    """What the log says of the cause. Of a client's mistake only its kind: the text would repeat what was sent."""
    if (cause := error.__cause__) is None:
        return {}
    if isinstance(cause, ValidationError):
        return {"cause": _mistake_in_brief(cause.errors()[0])}
    return {"cause": type(cause).__name__ if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else str(cause)}


def _mistake_in_brief(mistake: Any) -> str:
    """The kind of mistake in pydantic's words, and the parameter if it is one of ours; nothing of the client's."""
    kind = str(mistake["type"])
    return kind if kind == "extra_forbidden" else f"{mistake['loc'][-1]}: {kind}"


def noted_problem(failure: BaseException, request_id: str) -> Problem:
    """The document for one picture of a batch."""
    return _document(noted(failure), request_id)


def refusal(failure: GatewayError, seconds: float | None = None) -> bytes:
    """A whole HTTP/1.1 answer, after which the connection closes.

    Args:
        seconds: since the client began to send its request, for a line in the log; None: no request was begun, and
            the caller counts and logs for all such connections together.
    """
    error, request_id = noted(failure), tracing.random_hex(16)
    if seconds is not None:
        logs.request_ended(logs.UNROUTED, error.status, seconds, {"problem": error.slug, "request_id": request_id})
    body = _body(error, request_id)
    fields = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        logs.REQUEST_ID.decode(): request_id,
        "connection": "close",
        **_OF_REFUSALS,
    } | _headers(error)
    head = [f"HTTP/1.1 {error.status} {error.title}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*head, "", ""]).encode() + body


def _body(error: GatewayError, request_id: str) -> bytes:
    return _document(error, request_id).model_dump_json().encode()


def _document(error: GatewayError, request_id: str) -> Problem:
    return Problem(
        type=f"/problems/{error.slug}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        request_id=request_id,
    )


def _headers(error: GatewayError) -> dict[str, str]:
    return {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}


async def _client_gone(request: Request, exc: Exception) -> Response:
    """The client has left. Nothing is sent, but a handler must return a response."""
    return Response(status_code=499)
