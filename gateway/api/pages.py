"""Pages for people: the upload page, the API documentation and a page for each problem type. No CDN, no cookies."""

from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from gateway.api.schema import MEDIA_TYPES
from gateway.errors import GatewayError, NotFoundError
from gateway.services import services_of

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).resolve().parents[1] / "static"
ONLY_OURS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def mount(app: FastAPI) -> None:
    """Add the pages and the files they need."""
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC))
    # Only the package's files are used: its application class would replace FastAPI's own.
    app.mount("/docs/assets", StaticFiles(directory=str(files("fastapi_offline") / "static")))


@router.get("/")
async def upload_page(request: Request) -> HTMLResponse:
    """A photo in, labels out, in the browser."""
    formats = services_of(request).settings.image_formats
    names = [name.replace("WEBP", "WebP") for name in formats]
    listed = " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    text = page("index.html").replace("{accept}", ",".join(MEDIA_TYPES[name] for name in formats))
    return HTMLResponse(text.replace("{formats}", listed), headers=ONLY_OURS)


@router.get("/docs")
async def docs_page(request: Request) -> HTMLResponse:
    """Swagger UI over the OpenAPI document."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{request.app.title}: API",
        swagger_js_url="/docs/assets/swagger-ui-bundle.js",
        swagger_css_url="/docs/assets/swagger-ui.css",
        swagger_favicon_url="/static/icon.svg",
        swagger_ui_parameters={"defaultModelsExpandDepth": -1, "tryItOutEnabled": True},
    )


@router.get("/problems/{slug}")
async def problem_page(slug: str) -> HTMLResponse:
    """The page that a problem's `type` points to."""
    for kind in problem_types():
        if kind.slug == slug:
            text = page("problem.html").replace("{title}", escape(kind.title)).replace("{advice}", escape(kind.advice))
            return HTMLResponse(
                text.replace("{slug}", kind.slug).replace("{status}", str(kind.status)), headers=ONLY_OURS
            )
    raise NotFoundError("There is no such problem type; the `type` of a problem is the address of its page.")


def problem_types() -> list[type[GatewayError]]:
    """Every type of problem that the gateway answers with, sorted by status and slug."""
    return sorted({GatewayError, *GatewayError.__subclasses__()}, key=lambda kind: (kind.status, kind.slug))


@cache
def page(name: str) -> str:
    """The text of a file in `gateway/static`, read once."""
    return (STATIC / name).read_text(encoding="utf-8")
