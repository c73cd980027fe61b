"""The application: what is mounted where, and in which order a request passes the layers. Nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI
from fastapi.routing import iter_route_contexts

from gateway import auth
from gateway.admission import Admission
from gateway.api import classify, operations, pages, samples, schema, tfserving
from gateway.http import problems
from gateway.http.cors import CrossOrigin
from gateway.http.lifecycle import Lifecycle
from gateway.observe import logs
from gateway.services import running
from gateway.settings import Settings
from gateway.tfserving.rest import Transport

VERSION = "0.1.0"
DESCRIPTION = """
Photos in, class names out. Send a picture to `POST /v1/classify`:

    curl -F image=@photo.jpg http://localhost:8080/v1/classify

Errors are [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem documents; their `type` is a page that
explains them. Every answer carries `X-Request-ID`; quote it when you report a fault.
"""


def create_app(settings: Settings, transport: Transport | None = None, lifecycle: Lifecycle | None = None) -> FastAPI:
    """The gateway as an ASGI application; its replicas live as long as its lifespan.

    Args:
        transport: the wire to the replicas; tests put scripted replicas there.
        lifecycle: set by the signal handler; without one, the gateway never drains.
    """
    lifecycle = lifecycle or Lifecycle()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(settings, transport) as services:
            app.state.services = services
            app.state.lifecycle = lifecycle
            yield

    app = FastAPI(
        title="Specimen",
        version=VERSION,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        openapi_url=None,  # `pages` serves the document from memory
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `gateway.observe` has its own
    )
    keys = auth.read_keys(settings.api_keys_file) if settings.api_keys_file else {}
    app.state.callers = callers = auth.Callers(keys, settings.trusted_proxies)
    guards = [Depends(auth.Guard(callers))] if keys else []
    app.include_router(classify.router, dependencies=guards)
    app.include_router(samples.router, dependencies=guards)
    app.include_router(operations.router, dependencies=guards)
    app.include_router(tfserving.router, dependencies=guards)
    schema.add_settings(app.openapi(), settings)
    pages.mount(app, settings)
    _take_more_methods(app)
    problems.install(app, lifecycle)
    app.add_middleware(
        Admission,
        max_in_flight=settings.max_in_flight,
        max_bodies_bytes=settings.max_bodies_bytes,
        queue_size=settings.queue_size,
        queue_wait_s=settings.queue_wait_s,
        trusted_proxies=settings.trusted_proxies,
    )
    cross_origin = partial(CrossOrigin, origins=settings.cors_origins)
    app.add_middleware(logs.RequestLog, for_pages=cross_origin)  # added last, so outermost
    return app


def _take_more_methods(app: FastAPI) -> None:
    """HEAD wherever there is GET (RFC 9110, section 9.3.2; the server leaves out the body), and PUT of one picture.

    The OpenAPI document must be complete: FastAPI would give both methods of a route one operation id.
    """
    for route in iter_route_contexts(app.routes):
        methods = route.methods or set()
        if "GET" in methods:
            methods.add("HEAD")
        if route.path == classify.PATH:
            methods.add("PUT")  # `curl -T`
