"""`python -m gateway`: read the settings once, set up the logs, run uvicorn until told to stop."""

import os
import socket
import sys
from collections.abc import Iterator

from pydantic import ValidationError

from gateway import allocator, logs, scheduling, telemetry, tracing
from gateway.app import create_app
from gateway.auth import KeysError
from gateway.imaging import check_formats
from gateway.labels import LabelFileError, read_label_file
from gateway.lifecycle import Lifecycle
from gateway.server import Server
from gateway.settings import Settings


def main() -> None:
    """Run the gateway; where a setting is wrong, one line for each and exit status 1."""
    try:
        settings = Settings(_cli_parse_args=sys.argv[1:])
        check_formats(settings.image_formats)
        if settings.labels_file:  # `services` reads it; here a mistake in it still ends the start in one line
            read_label_file(settings.labels_file)
        lifecycle = Lifecycle()
        app = create_app(settings, lifecycle=lifecycle)
    except ValidationError as mistakes:
        sys.exit("\n".join(_in_words(mistakes)))
    except ModuleNotFoundError as missing:
        sys.exit(f"GATEWAY_IMAGE_FORMATS: {missing}")
    except KeysError as mistake:
        sys.exit(f"GATEWAY_API_KEYS_FILE: {mistake}")
    except LabelFileError as mistake:
        sys.exit(f"GATEWAY_LABELS_FILE: {mistake}")
    logs.configure(settings.log_format, settings.log_level)
    tracing.record_with(telemetry.recorder(os.environ))
    allocator.keep_freed_blocks()
    if not settings.upstream:  # the model servers are our own, on the same cores
        scheduling.let_slices_end()
    listener = _bind(settings.host, settings.port)
    server = Server(app, settings, lifecycle)
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
