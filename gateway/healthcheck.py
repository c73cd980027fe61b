"""`python -m gateway.healthcheck`: what the container's health check asks. Exit status 0 is healthy.

Swarm sends requests to a container once it is healthy, and kills it when it no longer is. So a gateway becomes healthy
when it can classify, and stays so as long as it answers at all: replicas that are away are not mended by killing it.
"""

import http.client
import os
import sys
from pathlib import Path

WAS_READY = Path("/dev/shm/gateway-was-ready")  # noqa: S108  # memory of this container only, writable for any user
TIMEOUT_S = 3


def healthy(port: int, was_ready: Path) -> bool:
    """Ask the gateway on `port`; `was_ready` is the mark that it has been ready before."""
    if was_ready.exists():
        return _answers_200(port, "/healthz")
    ready = _answers_200(port, "/readyz")
    if ready:
        was_ready.touch()
    return ready


def _answers_200(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not healthy(int(os.environ.get("GATEWAY_PORT") or 8080), WAS_READY))
