"""`python -m gateway`: read the settings once, set up the logs, run uvicorn until told to stop."""

import gc
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
import uvicorn
from pydantic import ValidationError

from gateway import logs
from gateway.app import create_app
from gateway.imaging import check_formats
from gateway.settings import Settings

GRACE_S = 5
"""For an answer to reach its client after the request's own deadline."""

log = structlog.get_logger()


class Server(uvicorn.Server):
    """uvicorn, which after a signal finishes what is in flight; and then ends with 0 instead of dying of the signal."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where we are."""
        await super().startup(sockets)
        gc.freeze()  # what is there now stays: looking through it for garbage is 4 % of a request
        host = "localhost" if self.config.host in ("127.0.0.1", "0.0.0.0", "::") else self.config.host  # noqa: S104
        log.info("listening", url=f"http://{host}:{self.config.port}")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """First signal: stop accepting and finish. Second Ctrl-C: stop at once."""
        before = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say what happens: a gateway that waits for a slow client must not look hung."""
        if not self.should_exit:
            log.info("stopping", signal=signal.Signals(sig).name, within_s=self.config.timeout_graceful_shutdown)
        super().handle_exit(sig, frame)


def main() -> None:
    """Run the gateway; where a setting is wrong, one line for each and exit status 1."""
    try:
        settings = Settings(_cli_parse_args=sys.argv[1:])
        check_formats(settings.image_formats)
    except ValidationError as mistakes:
        sys.exit("\n".join(_in_words(mistakes)))
    except ModuleNotFoundError as missing:
        sys.exit(f"GATEWAY_IMAGE_FORMATS: {missing}")
    logs.configure(settings.log_format, settings.log_level)
    listener = _bind(settings.host, settings.port)
    server = Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            http="httptools",
            loop="uvloop",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(settings.deadline_s) + GRACE_S,
        )
    )
    server.run(sockets=[listener])
    sys.exit(0 if server.started else 1)


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before anything is started; connections are accepted only when the app is up."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as cause:
        sys.exit(f"GATEWAY_HOST, GATEWAY_PORT: cannot listen on {host}:{port}: {cause.strerror}")
    return listener


def _in_words(mistakes: ValidationError) -> Iterator[str]:
    for mistake in mistakes.errors():
        name = "_".join(str(part) for part in mistake["loc"][:1])
        yield f"{'GATEWAY_' + name.upper() if name else 'settings'}: {mistake['msg']}"


if __name__ == "__main__":
    main()
