"""Which handler and which thread answer a request (docs/tensorflow-serving.md, "HTTP" and "URLs")."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from serving.standin.errors import Code, StatusError
from serving.standin.http import predictions
from serving.standin.http.message import METHODS, Request, Response, html_error
from serving.standin.http.server import Reply, Waits
from serving.standin.http.urls import ApiCall, Target, VersionRangeError, parse_call, parse_target
from serving.standin.json.status import write_metadata, write_status
from serving.standin.json.text import error_body
from serving.standin.models.catalog import Catalog, ModelAddress
from serving.standin.models.manager import VersionManager
from serving.standin.models.servable import Caller
from serving.standin.monitoring import Metrics

log = logging.getLogger(__name__)

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_NO_BODY_TYPE = "text/html; charset=ISO-8859-1"


class RestApi:
    """Answers status, metadata and metrics in the event loop, so that busy workers do not delay them."""

    def __init__(
        self,
        manager: VersionManager,
        catalog: Catalog,
        metrics: Metrics,
        *,
        workers: int,
        cors: bool,
        metrics_path: str | None,
    ) -> None:
        self._manager = manager
        self._catalog = catalog
        self._metrics = metrics
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="rest")
        self._headers: Mapping[str, str] = _CORS if cors else {}
        self._metrics_path = metrics_path

    def answer(self, request: Request, reply: Reply, waits: Waits) -> None:
        target = parse_target(request.target)
        if request.method not in METHODS:
            reply(html_error(501))
        elif _expects_something_else(request):
            reply(html_error(417))
        elif target is None:
            reply(html_error(400))
        elif target.absolute:
            self._route(request, target, lambda response: reply(replace(response, closes=True)), waits)
        else:
            self._route(request, target, reply, waits)

    def _route(self, request: Request, target: Target, reply: Reply, waits: Waits) -> None:
        if target.path == self._metrics_path:
            reply(self._render_metrics(target))
        elif not target.is_api:
            reply(html_error(404))
        elif request.method == "OPTIONS":
            reply(self._preflight(request))
        else:
            self._answer_call(request, target.matched, reply, waits)

    def _render_metrics(self, target: Target) -> Response:
        if target.rest:
            text = f"Unexpected path: {target.matched}. Should be {self._metrics_path}"
            return Response(400, text.encode(), "text/plain")
        return Response(200, self._metrics.render(), "text/plain")

    def _preflight(self, request: Request) -> Response:
        origin = request.headers.get("origin", "")
        allowed = "http://" in origin or "https://" in origin
        return self._response(200 if allowed else 400, content_type=_NO_BODY_TYPE)

    def _answer_call(self, request: Request, path: str, reply: Reply, waits: Waits) -> None:
        try:
            call = parse_call(request.method, path)
        except StatusError as error:
            reply(self._failure(error))
        except VersionRangeError:
            reply(self._response(400))
        else:
            self._work_on(call, request, reply, Caller(waits))

    def _work_on(self, call: ApiCall, request: Request, reply: Reply, caller: Caller) -> None:
        if call.verb in ("status", "metadata"):
            reply(self._counted(call, partial(self._describe, call.verb, call.address)))
            return
        loop = asyncio.get_running_loop()
        work = self._workers.submit(self._counted, call, partial(self._predict, call, request, caller))
        work.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finish, done, reply))

    def _finish(self, done: Future[Response], reply: Reply) -> None:
        unforeseen = done.exception()
        if unforeseen:
            log.error("A request failed for an unforeseen reason", exc_info=unforeseen)
            reply(self._failure(StatusError(Code.INTERNAL, "The failure has been logged")))
        else:
            reply(done.result())

    def _counted(self, call: ApiCall, work: Callable[[], bytes]) -> Response:
        """The response, counted and timed. All names of unknown models share one label value."""
        model = call.address.model
        model = model if self._manager.knows(model) else "unknown"
        api = "" if call.verb in ("status", "metadata") else call.verb
        try:
            with self._metrics.request(model, api, "REST"):
                body = work()
            return self._response(200, body)
        except StatusError as error:
            return self._failure(error)

    def _predict(self, call: ApiCall, request: Request, caller: Caller) -> bytes:
        caller.check()
        body = predictions.unpack(request.body, request.headers.get("content-encoding", ""))
        return predictions.answer(call, body, caller, self._catalog, self._metrics)

    def _describe(self, verb: str, address: ModelAddress) -> bytes:
        if verb == "metadata":
            with self._catalog.lease(address) as (version, servable):
                return write_metadata(address.model, version, servable.signatures)
        return write_status(self._manager.described(address))

    def _failure(self, error: StatusError) -> Response:
        return self._response(error.code.http_status, error_body(error.message))

    def _response(self, status: int, body: bytes = b"", content_type: str = "application/json") -> Response:
        return Response(status, body, content_type, self._headers)


def _expects_something_else(request: Request) -> bool:
    """An Expect header with another value. It is ignored where there is no body."""
    return (
        bool(request.body)
        and request.version >= (1, 1)
        and request.headers.get("expect", "100-continue").lower() != "100-continue"
    )
