"""TensorFlow Serving's REST API. Only this file imports httpx.

The transport is httpx-aiohttp: httpx's own leaks pool slots when calls are cancelled, and deadlines cancel
all the time (docs/decisions/0003). The caller sets the time limit, with `asyncio.timeout`; httpx's are per
read and would let a slow replica take several times as long.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote
from weakref import WeakSet

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport
from pydantic import ValidationError

from gateway.failures import (
    BadAnswerError,
    ConnectionLostError,
    ConnectionStaleError,
    NoDescriptorError,
    ReplicaError,
    ReplicaUnreachableError,
    of_http,
)
from gateway.imaging import Pixels
from gateway.labels import Description
from gateway.observe import tracing
from gateway.process.files import none_left
from gateway.tfserving import MALFORMED, Call, Reply, VersionStatus
from gateway.tfserving.contract import Prediction, ServedModel, Signature, Tensor
from gateway.tfserving.json import describe_body, description_text, predict_body, prediction

Transport = httpx.AsyncBaseTransport
"""The wire; tests put scripted replicas there."""

MAX_REPLY_BYTES = 4 * 1024 * 1024
"""Of our own calls: a thousand probabilities are 20 KB."""
MAX_FORWARDED_REPLY_BYTES = 64 * 1024 * 1024
"""Of a TensorFlow Serving client's: its model may answer with whole feature maps."""

MAX_REASON = 300
"""Characters of a replica's own words that are kept."""
DISTRUST_S = 5.0
"""Without kept connections, after one of them has gone stale."""

_JSON = {"Content-Type": "application/json"}


class RestClient:
    """Speaks to every replica through one pool of keep-alive connections."""

    def __init__(self, transport: Transport | None = None, *, connect_timeout_s: float = 1) -> None:
        self._transport = transport or AiohttpTransport(verify=False, trust_env=False, client=_session)
        self._extensions = {"timeout": httpx.Timeout(None, connect=connect_timeout_s).as_dict()}
        self._last_stale: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._transport.aclose()

    async def status(self, address: str, model: str) -> dict[int, VersionStatus]:
        """Each version that the replica knows, with its state; HTTP status 200 alone does not mean ready."""
        reply = await self._get(address, f"/v1/models/{quote(model)}")
        try:
            return {int(v["version"]): _version_status(v) for v in orjson.loads(reply)["model_version_status"]}
        except MALFORMED as cause:
            raise BadAnswerError("the status is not as TensorFlow Serving writes it") from cause

    async def signatures(self, address: str, model: str, version: int) -> dict[str, Signature]:
        """The signatures of one version with their tensors (docs/tensorflow-serving.md, "Metadata")."""
        reply = await self._get(address, f"/v1/models/{quote(model)}/versions/{version}/metadata")
        try:
            listed = orjson.loads(reply)["metadata"]["signature_def"]["signature_def"]
            return {name: Signature(_tensors(s["inputs"]), _tensors(s["outputs"])) for name, s in listed.items()}
        except MALFORMED as cause:
            raise BadAnswerError("the metadata is not as TensorFlow Serving writes it") from cause

    async def describe(self, address: str, model: str, version: int) -> Description:
        """What one version says of itself: labels, fingerprint, metrics."""
        target = f"/v1/models/{quote(model)}/versions/{version}:predict"
        reply = await self._send("POST", address, target, _JSON, describe_body())
        try:
            return Description.model_validate_json(description_text(reply.body))
        except ValidationError as cause:
            raise BadAnswerError("describe answers with another document than this gateway knows") from cause

    async def predict(
        self, address: str, model: ServedModel, pixels: Pixels, *, timeout_s: float | None = None
    ) -> Prediction:
        """The answer for one picture; REST has no word for `timeout_s`."""
        target = f"/v1/models/{quote(model.name)}/versions/{model.version}:predict"
        reply = await self._send("POST", address, target, _JSON, predict_body(model, pixels))
        return prediction(model, reply.body)

    async def forward(self, address: str, call: Call) -> Reply:
        """A client's own call, and whatever the replica answers to it."""
        return await self._send(call.method, address, call.target, call.headers, call.body, forwarded=True)

    async def _get(self, address: str, target: str) -> bytes:
        return (await self._send("GET", address, target, {}, b"")).body

    async def _send(
        self,
        method: str,
        address: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        forwarded: bool = False,
    ) -> Reply:
        """One exchange; any other status than 200 is raised as the failure it means, unless it is to be `forwarded`."""
        url = _url(address, target)
        _REUSED.set(False)
        _FRESH.set(self._distrusts_kept(address))
        # As a stream, whose Host and Content-Length httpx leaves to aiohttp: to have both write them is 0.1 ms.
        stream, named = httpx.ByteStream(body), {**headers, **tracing.outgoing()}
        request = httpx.Request(method, url, headers=named, stream=stream, extensions=self._extensions)
        request.read()
        limit = MAX_FORWARDED_REPLY_BYTES if forwarded else MAX_REPLY_BYTES
        answering = False
        content = bytearray()
        try:
            # The transport itself: redirects, cookies and authentication, a client's work, are 0.5 ms a request.
            response = await self._transport.handle_async_request(request)
            answering = True
            try:
                assert isinstance(response.stream, httpx.AsyncByteStream)
                async for chunk in response.stream:
                    content += chunk
                    if len(content) > limit:
                        raise BadAnswerError(f"the answer is larger than {limit} bytes")
            finally:
                await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError) as cause:  # it lets some of aiohttp's own through
            stale = _REUSED.get() and not answering
            if stale:
                self._last_stale[address] = asyncio.get_running_loop().time()
            raise _broken(address, cause, stale=stale) from cause
        if response.status_code != 200 and not forwarded:
            raise of_http(response.status_code, f"status {response.status_code}: {bytes(content[:200])!r}")
        return Reply(response.status_code, response.headers.get("Content-Type", "application/json"), bytes(content))

    def _distrusts_kept(self, address: str) -> bool:
        """For a while after a kept connection to that replica has gone stale, only fresh ones are used.

        Going again after a stale one is free of the retry budget, so a replica that resets half its connections would
        otherwise cost half a request more each; a fresh connection that breaks is the replica's failure.
        """
        since = self._last_stale.get(address)
        if since is None:
            return False
        if asyncio.get_running_loop().time() - since < DISTRUST_S:
            return True
        del self._last_stale[address]
        return False


_REUSED: ContextVar[bool] = ContextVar("_REUSED", default=False)
"""Whether this call went out on a connection that others had used before."""
_FRESH: ContextVar[bool] = ContextVar("_FRESH", default=False)
"""Whether this call must not."""


class _Connector(aiohttp.TCPConnector):
    """Says of each connection whether it is a kept one: only those go stale."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._used: WeakSet[Any] = WeakSet()

    if not TYPE_CHECKING:

        async def connect(self, req, traces, timeout):  # noqa: ASYNC109  the signature is aiohttp's
            connection = await super().connect(req, traces, timeout)
            while _FRESH.get() and connection.protocol in self._used:
                connection.close()
                connection = await super().connect(req, traces, timeout)
            _REUSED.set(connection.protocol in self._used)
            self._used.add(connection.protocol)
            return connection


def _session() -> aiohttp.ClientSession:
    """Opened by the transport with its first call.

    No limit on connections: the pool counts attempts in flight, and probes must not queue behind them. No cookies:
    replicas are one service to us.
    """
    connector = _Connector(limit=0, keepalive_timeout=60, use_dns_cache=False)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


@lru_cache(maxsize=256)
def _url(address: str, target: str) -> httpx.URL:
    """The same few over and over; taking one apart costs 0.1 ms."""
    return httpx.URL(f"http://{rest_address(address)}{target}")


def _broken(address: str, cause: Exception, *, stale: bool) -> ReplicaError:
    """Never connected, or lost: httpx-aiohttp calls a connection that the server dropped a ConnectTimeout, too."""
    if none_left(cause):
        return NoDescriptorError(f"no file descriptor for a connection to {address}")
    dropped = isinstance(cause.__cause__, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
    connecting = isinstance(cause.__cause__, aiohttp.ClientConnectorError)
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout) and (connecting or not dropped):
        return ReplicaUnreachableError(f"no connection to {address}")
    if stale:
        return ConnectionStaleError(f"a kept connection to {address} was closed")
    return ConnectionLostError(f"the connection to {address} broke")


def _version_status(version: Mapping[str, Any]) -> VersionStatus:
    status = version.get("status") or {}
    failed = status.get("error_code", "OK") != "OK"
    return VersionStatus(
        str(version["state"]), str(status.get("error_message") or "unknown reason")[:MAX_REASON] if failed else ""
    )


def _tensors(listed: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    return {name: Tensor(str(tensor["dtype"]), _shape(tensor["tensor_shape"])) for name, tensor in listed.items()}


def _shape(told: Mapping[str, Any]) -> tuple[int, ...] | None:
    if told.get("unknown_rank"):
        return None
    return tuple(int(dim["size"]) for dim in told.get("dim", ()))


def rest_address(address: str) -> str:
    """`a:8501/9000` -> `a:8501`."""
    return address.partition("/")[0]


def grpc_address(address: str, usual_port: int) -> str:
    """`a:8501/9000` -> `a:9000`; `a:8501` -> `a:` and the usual port."""
    rest, _, port = address.partition("/")
    return f"{rest.rpartition(':')[0]}:{port or usual_port}"
