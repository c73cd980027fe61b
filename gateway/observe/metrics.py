"""Every instrument, declared once. Names carry the unit; label values come from closed sets.

`docs/metrics.md` says what each is for.
"""

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

Stage = Literal["read", "preprocess", "predict"]
Again = Literal["retry", "hedge"]
Ejection = Literal["failures", "probes", "slow"]
_LAGS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("gateway_requests_total", "Requests answered, by route template and status", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "gateway_request_seconds", "From the request's head to the end of its answer", ["route"], buckets=_SECONDS
)
STAGE_SECONDS = Histogram(
    "gateway_stage_seconds",
    "Time one upload spends in a stage: read, preprocess, predict",
    ["stage"],
    buckets=_SECONDS,
)
PICTURES = Counter("gateway_pictures_total", "Pictures decoded, by format", ["format"])
DECODERS_ENDED = Counter(
    "gateway_decoders_ended_total",
    "Decode processes that ended in the middle of a picture: crashed, cpu, stalled, killed, foreign, abandoned",
    ["reason"],
)
DECODE_PLACES_FREE = Gauge("gateway_decode_places_free", "Pictures that could be decoded without a wait", ["kind"])
DECODE_MEMORY_FREE = Gauge("gateway_decode_memory_free_bytes", "Memory for large pictures that none of them holds")
DECODERS_IDLE = Gauge("gateway_decoders_idle", "Decode processes that wait for a picture", ["kind"])
PROBLEMS = Counter("gateway_problems_total", "Requests answered with a problem, by its type", ["type"])
ATTEMPT_SECONDS = Histogram(
    "gateway_attempt_seconds",
    "One attempt at one replica, by version and outcome",
    ["version", "outcome"],
    buckets=_SECONDS,
)
RETRIES = Counter(
    "gateway_retries_total", "Further attempts wanted, granted or denied by the budget", ["kind", "budget"]
)
SHED = Counter("gateway_shed_total", "Requests turned away because something was full: the door, replicas", ["by"])
EJECTIONS = Counter("gateway_ejections_total", "Replicas put out of turn, by cause", ["cause"])
REPLICAS = Gauge("gateway_replicas", "Replicas, by state", ["state"])
REPLICA_UP = Gauge("gateway_replica_available", "1: it gets requests; 0: it is ejected or not ready", ["replica"])
REPLICA_IN_FLIGHT = Gauge("gateway_replica_in_flight", "Attempts at work on a replica", ["replica"])
REPLICA_ATTEMPTS = Counter("gateway_replica_attempts_total", "Attempts at a replica", ["replica"])
REPLICA_FAILURES = Counter("gateway_replica_failures_total", "Attempts that it failed", ["replica"])
REPLICA_EJECTIONS = Counter("gateway_replica_ejections_total", "Times it was put out of turn", ["replica"])
BY_REPLICA = (REPLICA_UP, REPLICA_IN_FLIGHT, REPLICA_ATTEMPTS, REPLICA_FAILURES, REPLICA_EJECTIONS)
DISCOVERY_UP = Gauge("gateway_discovery_up", "1: the last look-up of the replicas' name succeeded, or there is none")
QUEUE = Gauge("gateway_queue_length", "Requests that wait for a replica")
BODY_BYTES = Gauge("gateway_body_bytes", "Bytes of request bodies at hand")
CONNECTIONS = Gauge("gateway_connections", "Connections of clients, open")
CONNECTIONS_REFUSED = Counter("gateway_connections_refused_total", "Connections turned away: too many are open")
LOG_LINES_DROPPED = Counter("gateway_log_lines_dropped_total", "Log lines that nobody took")
LOOP_LAG_SECONDS = Histogram(
    "gateway_loop_lag_seconds", "How late the event loop woke a task that sleeps for 20 ms", buckets=_LAGS
)
TASKS = Gauge("gateway_tasks", "Tasks of the event loop: a dozen that always run, requests and attempts")
_STAGES = {name: STAGE_SECONDS.labels(name) for name in get_args(Stage)}
IN_FLIGHT = Gauge("gateway_in_flight", "Classify and predict requests at work")


# Each label's instrument is looked up once: `labels` takes as long as to count does.
_requests = lru_cache(REQUESTS.labels)
_request_seconds = lru_cache(REQUEST_SECONDS.labels)
_attempt_seconds = lru_cache(ATTEMPT_SECONDS.labels)
_pictures = lru_cache(PICTURES.labels)


def request_answered(route: str, status: int, seconds: float) -> None:
    """Count one request. `route`: its template, from a closed set."""
    _requests(route, status).inc()
    _request_seconds(route).observe(seconds)


def attempt_finished(version: str, outcome: str, seconds: float) -> None:
    """Count one attempt."""
    _attempt_seconds(version, outcome).observe(seconds)


def picture_decoded(image_format: str) -> None:
    """Count one picture."""
    _pictures(image_format).inc()


def stage(name: Stage) -> AbstractContextManager[object]:
    """Time one stage of an upload, for as long as the block runs."""
    return _STAGES[name].time()
