"""Documents that are known at the start, served from memory: pages, scripts, the OpenAPI document.

An open file for each client that does not read its answer would use up the descriptors. Here all answers share the
bytes of the document, and the server's transport does not copy them (`exchange`). Ranges are not offered: the largest
document has 1.5 MB.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from gateway.errors import NotFoundError
from gateway.http.headers import NOTHING, POLICY, Field


@dataclass(frozen=True)
class Document:
    """A body with the fields of its head."""

    body: bytes
    etag: bytes
    fields: tuple[Field, ...]
    """Without the length."""


def document(body: bytes, media_type: str, policy: bytes = NOTHING) -> Document:
    """A document that caches ask for again each time: a new release may have another one at the same address.

    Args:
        policy: its Content-Security-Policy.
    """
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
    fields = (
        (b"content-type", media_type.encode()),
        (b"etag", etag),
        (b"cache-control", b"no-cache"),
        (POLICY, policy),
    )
    return Document(body, etag, fields)


class Documents:
    """ASGI application: answers GET and HEAD with the document at the path."""

    def __init__(self, documents: Mapping[str, Document], *, absent: str) -> None:
        """`absent`: the detail of the answer where there is no document."""
        self._documents = documents
        self._absent = absent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises NotFoundError: there is no document at the path."""
        if (found := self._documents.get(scope["path"])) is None:
            raise NotFoundError(self._absent)
        if _known(scope["headers"], found.etag):
            await send({"type": "http.response.start", "status": 304, "headers": list(found.fields[1:])})
            await send({"type": "http.response.body", "body": b""})
            return
        length = (b"content-length", b"%d" % len(found.body))
        await send({"type": "http.response.start", "status": 200, "headers": [*found.fields, length]})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else found.body})


def _known(fields: Iterable[Field], etag: bytes) -> bool:
    """Whether the client has this version already (RFC 9110, section 13.1.2)."""
    listed = [
        tag.strip().removeprefix(b"W/")
        for name, value in fields
        if name == b"if-none-match"
        for tag in value.split(b",")
    ]
    return etag in listed or listed == [b"*"]
