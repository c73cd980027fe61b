"""`python -m gateway`: read the settings once, set up the logs, run uvicorn until a signal stops it."""

import os
import socket
import sys
from collections.abc import Iterator

import structlog
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.app import create_app
from gateway.auth import KeysError, writable_by_others
from gateway.http.lifecycle import Lifecycle
from gateway.http.server import Server
from gateway.imaging import check_formats
from gateway.label_file import LabelFileError, read_label_file
from gateway.observe import logs, telemetry, tracing
from gateway.process import memory, scheduling
from gateway.settings import Settings

log = structlog.get_logger()

UNSENT_BYTES = 16 * 1024
"""Bytes of answers that the kernel takes for a connection before its client has room for them. By default it takes
megabytes: 4,090 clients that read nothing filled 2 GB, which a container's limit of memory counts."""


def main() -> None:
    """Run the gateway. Each wrong setting is one line on standard error, and the exit status is 1."""
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
    if settings.api_keys_file and writable_by_others(settings.api_keys_file):
        log.warning("others may write the keys file", file=str(settings.api_keys_file), what_to_do="chmod go-w")
    tracing.record_with(telemetry.recorder(os.environ))
    memory.keep_freed_blocks()
    if not settings.upstream:  # the model servers are child processes on the same cores
        scheduling.let_slices_end()
    listener = _bind(settings.host, settings.port)
    server = Server(app, settings, lifecycle)
    server.run(sockets=[listener])
    sys.exit(0 if server.started else 1)


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before anything is started. Connections are accepted once the app is up."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)  # connections inherit it
    try:
        listener.bind((host, port))
    except OSError as cause:
        sys.exit(f"GATEWAY_HOST, GATEWAY_PORT: cannot listen on {host}:{port}: {cause.strerror}")
    return listener


def _in_words(mistakes: ValidationError) -> Iterator[str]:
    """A line for each setting that is wrong; a line without a setting's name in front names two that disagree."""
    named: set[str] = set()
    for mistake in mistakes.errors():
        name = str(mistake["loc"][0]) if mistake["loc"] else ""
        if name in named:
            continue  # a list with a wrong part
        if name:
            named.add(name)
        yield f"GATEWAY_{name.upper()}: {_reason(mistake, name)}" if name else _reason(mistake, name)


def _reason(mistake: ErrorDetails, name: str) -> str:
    if mistake["type"] == "value_error":
        return mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "string_pattern_mismatch":
        return f"{mistake['input']!r} is not as expected: {Settings.model_fields[name].description}"
    return f"{mistake['msg']} (it is {str(mistake['input'])!r})"


if __name__ == "__main__":
    main()
