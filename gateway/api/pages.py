"""Pages for people: the upload page, the API documentation and a page for each problem type. No CDN, no cookies.

All of them are made at the start and served from memory, with the files that they need and the OpenAPI document.
"""

from html import escape
from importlib.resources import files
from pathlib import Path

import orjson
from fastapi import FastAPI
from starlette.routing import Route

from gateway.api.schema import MEDIA_TYPES
from gateway.errors import GatewayError
from gateway.http.documents import Document, Documents, document
from gateway.settings import ImageFormat, Settings

STATIC = Path(__file__).resolve().parents[1] / "static"
# Only the package's files are used: its application class would replace FastAPI's own.
SWAGGER_UI = Path(str(files("fastapi_offline"))) / "static"

HTML, SCRIPT, STYLES = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"
ONLY_OURS = (
    b"default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The policy of our own pages, which have no inline script or style."""
FOR_SWAGGER_UI = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The same without forms, which Swagger UI handles itself; its icons are `data:` addresses."""
PATHS = ("/", "/docs", "/docs/assets/{name}", "/static/{name}", "/problems/{slug}", "/openapi.json")


def mount(app: FastAPI, settings: Settings) -> None:
    """Add the pages and the files that they need. The OpenAPI document must be complete."""
    served = Documents(
        {**_pages(app.title, settings), **_files(), "/openapi.json": _openapi(app)},
        absent="There is no such page or problem type; the `type` of a problem is the address of its page.",
    )
    app.router.routes += [Route(path, served, methods=["GET"]) for path in PATHS]


def _pages(title: str, settings: Settings) -> dict[str, Document]:
    pages = {
        "/": document(_upload_page(settings.image_formats), HTML, ONLY_OURS),
        "/docs": document(_text("docs.html").replace("{title}", escape(title)).encode(), HTML, FOR_SWAGGER_UI),
    }
    return pages | {
        f"/problems/{kind.slug}": document(_problem_page(kind), HTML, ONLY_OURS) for kind in problem_types()
    }


def _files() -> dict[str, Document]:
    scripts = (STATIC / "page.js", STATIC / "docs.js", SWAGGER_UI / "swagger-ui-bundle.js")
    styles = (STATIC / "page.css", SWAGGER_UI / "swagger-ui.css")
    found = {_address(file): document(file.read_bytes(), SCRIPT) for file in scripts}
    found |= {_address(file): document(file.read_bytes(), STYLES) for file in styles}
    return found | {"/static/icon.svg": document((STATIC / "icon.svg").read_bytes(), "image/svg+xml")}


def _address(file: Path) -> str:
    return f"/static/{file.name}" if file.parent == STATIC else f"/docs/assets/{file.name}"


def _openapi(app: FastAPI) -> Document:
    return document(orjson.dumps(app.openapi()), "application/json")


def _upload_page(formats: tuple[ImageFormat, ...]) -> bytes:
    names = [name.replace("WEBP", "WebP") for name in formats]
    listed = " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    text = _text("index.html").replace("{accept}", ",".join(MEDIA_TYPES[name] for name in formats))
    return text.replace("{formats}", listed).encode()


def _problem_page(kind: type[GatewayError]) -> bytes:
    """The page that a problem's `type` points to."""
    text = _text("problem.html").replace("{title}", escape(kind.title)).replace("{advice}", escape(kind.advice))
    return text.replace("{slug}", kind.slug).replace("{status}", str(kind.status)).encode()


def problem_types() -> list[type[GatewayError]]:
    """Every type of problem that the gateway answers with, sorted by status and slug."""
    return sorted({GatewayError, *GatewayError.__subclasses__()}, key=lambda kind: (kind.status, kind.slug))


def _text(name: str) -> str:
    """The text of a file in `gateway/static`."""
    return (STATIC / name).read_text(encoding="utf-8")
