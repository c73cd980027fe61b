"""Which pages of other origins may call the API: Starlette's rules, with a refusal as a problem document."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import CrossOriginError
from gateway.http import problems


class CrossOrigin(CORSMiddleware):
    """Allows requests from pages of the listed origins."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
            max_age=3600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer a preflight."""
        try:
            await super().__call__(scope, receive, send)
        except CrossOriginError as refused:
            await (await problems.answer(Request(scope), refused))(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight request.

        Raises:
            CrossOriginError: the origin, method or header is not allowed.
        """
        response = super().preflight_response(request_headers)
        if response.status_code != 200:
            what = bytes(response.body).decode().removeprefix("Disallowed CORS ")
            raise CrossOriginError(f"A page of another origin may not send this request because of its {what}.")
        return response
