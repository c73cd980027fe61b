"""The recorded pairs of requests and answers: reading them, replaying them as bytes on a socket, comparing."""

import base64
import json
import math
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.contract.models import CORPUS

Pair = dict[str, Any]

_STATUS = b"GET /v1/models/half_plus_two HTTP/1.1\r\n"
_GENERATED = {
    'GET /v1/models/half_plus_two with X-A: "a"*200000': _STATUS + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n",
    'GET /v1/models/ + "a"*70000': b"GET /v1/models/" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "GET with 2000 headers": _STATUS + b"".join(b"X-%d: 1\r\n" % at for at in range(2000)) + b"\r\n",
}
"""Requests that the corpus only describes (`raw_gen`), because they are long."""


def read_pairs(file: str) -> list[Pair]:
    return [json.loads(line) for line in (CORPUS / file).read_text(encoding="utf-8").splitlines()]


def configuration(models: Path, *more: str) -> str:
    """The recorded model configuration with base paths below the folder `models`; `more` are further entries."""
    text = (CORPUS / "models.config").read_text(encoding="utf-8").replace('base_path: "models', f'base_path: "{models}')
    return text.rstrip().removesuffix("}") + "".join(more) + "}"


def request_bytes(request: dict[str, Any]) -> bytes:
    """The bytes on the wire: `raw` as recorded, otherwise assembled from the request's parts in their order."""
    if "raw" in request:
        return str(request["raw"]).encode("latin-1")
    if "raw_gen" in request:
        return _GENERATED[request["raw_gen"]]
    if "raw_b64" in request:
        return base64.b64decode(request["raw_b64"])
    body = request_body(request)
    lines = [f"{request['method']} {request['path']} {request['version']}"]
    lines += [f"{name}: {value}" for name, value in request["headers"]]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def request_body(request: dict[str, Any]) -> bytes:
    if "body_b64" in request:
        return base64.b64decode(request["body_b64"])
    if "body_gen" in request:
        return str(eval(request["body_gen"], {"json": json})).encode()  # an expression of the corpus, never a client's
    return str(request.get("body", "")).encode()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class Conversation:
    """A connection to a server on this machine, with the bytes received so far."""

    def __init__(self, port: int, *, timeout_s: float = 30) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._received = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def answer(self, *, head_only: bool = False) -> Answer:
        head = self.take_head()
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b"" if head_only else self._take(int(headers["content-length"]))
        return Answer(int(status_line.split()[1]), headers, body)

    def take_head(self) -> bytes:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._receive()
        return self._take(end + 4)[:end]

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            self._receive()
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _receive(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection before its answer was complete")
        self._received += data


def ask(port: int, data: bytes) -> Answer:
    """Sends one request on a connection of its own. The answer to HEAD has no body, whatever its Content-Length."""
    with Conversation(port) as conversation:
        conversation.socket.sendall(data)
        return conversation.answer(head_only=data.startswith(b"HEAD "))


def differences(expected: dict[str, Any], actual: Answer) -> Iterator[str]:
    """The differences from a recorded answer, by the rules of corpus/README.md; nothing where they are equal."""
    if actual.status != expected["status"]:
        yield f"status {actual.status}, not {expected['status']}"
    content_type = {name.lower(): value for name, value in expected["headers"]}["content-type"]
    if actual.headers.get("content-type") != content_type:
        yield f"content type {actual.headers.get('content-type')}, not {content_type}"
    if "body_len" in expected:
        return
    recorded = base64.b64decode(expected["body_b64"]) if "body_b64" in expected else expected["body"].encode()
    if not _same_body(recorded, actual.body, content_type):
        yield f"body {actual.body[:1000]!r}, not {recorded[:1000]!r}"


def _same_body(recorded: bytes, actual: bytes, content_type: str) -> bool:
    if content_type != "application/json" or not recorded:
        return recorded == actual
    return _same_json(_parse(recorded), _parse(actual))


def _parse(body: bytes) -> Any:
    return json.loads(body.decode("utf-8", "surrogateescape"))


def _same_json(recorded: Any, actual: Any) -> bool:
    match recorded:
        case {"error": str(text)}:
            return isinstance(actual, dict) and actual.keys() == {"error"} and _same_error(text, actual["error"])
        case dict():
            return recorded.keys() == actual.keys() and all(_same_json(recorded[key], actual[key]) for key in recorded)
        case list():
            return len(recorded) == len(actual) and all(map(_same_json, recorded, actual))
        case float():
            return isinstance(actual, float) and _same_number(recorded, actual)
        case _:
            return type(recorded) is type(actual) and bool(recorded == actual)


def _same_number(recorded: float, actual: float) -> bool:
    if math.isnan(recorded) or math.isinf(recorded):
        return repr(recorded) == repr(actual)
    return math.isclose(recorded, actual, rel_tol=1e-5, abs_tol=0.0)


def _same_error(recorded: str, actual: str) -> bool:
    """Texts of operations are compared up to the node they name; long quotes of JSON in their first 200 characters."""
    if "{{" in recorded:
        return up_to_node(recorded) == up_to_node(actual)
    folded, ours = (" ".join(text.split()) for text in (recorded, actual))
    quotes_much = "JSON Value: " in recorded and len(folded) > 200
    return folded[:200] == ours[:200] if quotes_much else folded == ours


def up_to_node(text: str) -> str:
    """The part of an operation's error text that does not depend on how the graph was built."""
    return re.split(r"\n|\{\{", text)[0].strip()
