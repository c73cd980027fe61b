"""File descriptors: the sum of all that may be open, held against the limit of the process at the start.

| what | how many |
|---|---|
| clients | GATEWAY_MAX_CONNECTIONS; an answer that is not read holds no file |
| replicas | attempts that each may have in flight, GATEWAY_REPLICA_MAX_IN_FLIGHT, and its probes |
| decode processes | three worker pools of GATEWAY_DECODE_PROCESSES, large pictures being the third; a socket each |
| our own | listener, event loop, log, fork server, embedded replicas, look-ups of names |

Below the limit there is a reserve, so that the system never refuses to accept: a connection that got one of the last
descriptors is turned away with 503 instead.
"""

import resource
import sys
from contextlib import suppress

import structlog

from gateway.settings import Settings

OWN = 64
PER_REPLICA = 2
"""Probes and examinations, beside its attempts."""
DNS_REPLICAS = 16
"""Taken for the number of addresses that a dns:// upstream has."""
DECODE_POOLS = 3
RESERVE = 16

log = structlog.get_logger()


def needed(settings: Settings) -> int:
    """The descriptors for everything but the connections of clients."""
    replicas = len(settings.upstream_addresses) or settings.embedded_replicas
    if settings.upstream_is_dns:
        replicas = DNS_REPLICAS
    return OWN + replicas * (settings.replica_max_in_flight + PER_REPLICA) + DECODE_POOLS * settings.decode_processes


def room(settings: Settings) -> tuple[int, int]:
    """Raise the soft limit as far as it is needed and allowed.

    Returns:
        How many connections of clients there is room for: GATEWAY_MAX_CONNECTIONS, or fewer, which is logged. And the
        last descriptor that one of them may have.
    """
    wanted, others = settings.max_connections + needed(settings), needed(settings)
    soft = _raised(wanted)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings.max_connections, (sys.maxsize if soft == resource.RLIM_INFINITY else soft) - RESERVE
    fitting = max(soft - others, soft // 2)
    what_to_do = f"raise the limit of open files (ulimit -n, nofile) to {wanted}, or lower GATEWAY_MAX_CONNECTIONS"
    log.warning("few file descriptors", limit=soft, wanted=wanted, connections=fitting, what_to_do=what_to_do)
    return fitting, soft - RESERVE


def _raised(wanted: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft
