"""Every instrument, declared once. Names carry the unit; label values come from closed sets.

`docs/metrics.md` says what each is for. A labelled instrument that is used for every request has a cached lookup
below it, because `labels` takes as long as counting does: `metrics.requests(route, status).inc()`.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Stage = Literal["read", "preprocess", "predict"]
Again = Literal["retry", "hedge"]
Ejection = Literal["failures", "probes"]
Refused = Literal["contract", "examination", "load"]
Quarantined = Literal["suspected", "acquitted", "convicted", "refused"]
Bound = Literal["connections", "bodies", "slow-bodies", "requests", "share", "decoding", "replicas", "descriptors"]
CrossOriginReason = Literal["origin", "method", "header"]
_LAGS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS = Counter("gateway_requests_total", "Requests answered, by route template and status", ["route", "status"])
requests = lru_cache(REQUESTS.labels)
REQUEST_SECONDS = Histogram(
    "gateway_request_seconds", "From the request's head to the end of its answer", ["route"], buckets=_SECONDS
)
request_seconds = lru_cache(REQUEST_SECONDS.labels)
STAGE_SECONDS = Histogram(
    "gateway_stage_seconds",
    "Time one upload spends in a stage: read, preprocess, predict",
    ["stage"],
    buckets=_SECONDS,
)
STAGES: dict[Stage, Histogram] = {name: STAGE_SECONDS.labels(name) for name in get_args(Stage)}
PICTURES = Counter("gateway_pictures_total", "Pictures decoded, by format", ["format"])
pictures = lru_cache(PICTURES.labels)
ANSWERS = Counter(
    "gateway_answers_total",
    "Pictures answered, by what the model was sure of: label, group, none",
    ["sure_of"],
)
answers = lru_cache(ANSWERS.labels)
DECODERS_ENDED = Counter(
    "gateway_decoders_ended_total",
    "Decode processes that ended in the middle of a picture: crashed, cpu, stalled, killed, foreign, abandoned",
    ["reason"],
)
DECODE_PLACES_FREE = Gauge("gateway_decode_places_free", "Pictures that could be decoded without a wait", ["kind"])
DECODE_MEMORY_FREE = Gauge("gateway_decode_memory_free_bytes", "Memory for large pictures that none of them holds")
DECODERS_IDLE = Gauge("gateway_decoders_idle", "Decode processes that wait for a picture", ["kind"])
PROBLEMS = Counter(
    "gateway_problems_total", "Problems answered, by type; those of single pictures in a batch too", ["type"]
)
CROSS_ORIGIN_REFUSED = Counter(
    "gateway_cross_origin_refused_total",
    "Requests of pages that CORS refused, by what is not allowed: origin, method, header",
    ["reason"],
)
ATTEMPT_SECONDS = Histogram(
    "gateway_attempt_seconds",
    "One attempt at one replica, by outcome and by the versions that replicas hold",
    ["version", "outcome"],
    buckets=_SECONDS,
)
attempt_seconds = lru_cache(ATTEMPT_SECONDS.labels)
RETRIES = Counter(
    "gateway_retries_total", "Further attempts wanted, granted or denied by the budget", ["kind", "budget"]
)
SHED = Counter(
    "gateway_shed_total",
    "Requests and connections refused over a limit, by the limit: connections, bodies, slow-bodies (ended for others), "
    "requests, share (of one caller), decoding, replicas, descriptors",
    ["by"],
)
QUARANTINE = Counter(
    "gateway_quarantine_total",
    "Requests that may have cost a replica its process, by event: suspected, acquitted, convicted, refused",
    ["event"],
)
quarantine = lru_cache(QUARANTINE.labels)
SLOWED = Counter("gateway_slow_replicas_total", "Times a replica was put on trial turns for being slow")
EJECTIONS = Counter("gateway_ejections_total", "Replicas ejected, by cause", ["cause"])
REPLICAS = Gauge("gateway_replicas", "Replicas, by state", ["state"])
VERSIONS_REFUSED = Gauge(
    "gateway_versions_refused",
    "Replicas on which a version is not served, by the version and the kind of reason: contract, examination, load",
    ["version", "reason"],
)


@dataclass(frozen=True)
class ReplicaSample:
    """One replica at the moment of a scrape."""

    address: str
    known_since: float
    """When its counters began. Seconds since 1970."""
    available: bool
    in_flight: int
    attempts: int
    failures: int
    ejections: int


class ByReplica(Collector):
    """What the pool counts for each replica, read at each scrape, so that a replica that is gone has no series.

    A counter's creation time is that of its replica. Instruments that were filled anew for each scrape would carry
    the time of the scrape, and a reader of creation times would take every scrape for a restart.
    """

    def __init__(self) -> None:
        self.samples: Iterable[ReplicaSample] = ()

    def describe(self) -> Iterable[Metric]:
        """The families without samples; `docs/metrics.md` is made from them."""
        return self._families(())

    def collect(self) -> Iterable[Metric]:
        """The families with one sample for each replica."""
        return self._families(self.samples)

    def _families(self, samples: Iterable[ReplicaSample]) -> Iterator[Metric]:
        label = ["replica"]
        available = GaugeMetricFamily(
            "gateway_replica_available", "1: it gets requests; 0: it is ejected or not ready", labels=label
        )
        in_flight = GaugeMetricFamily("gateway_replica_in_flight", "Attempts in flight on a replica", labels=label)
        attempts = CounterMetricFamily("gateway_replica_attempts", "Attempts at a replica", labels=label)
        failures = CounterMetricFamily("gateway_replica_failures", "Attempts that it failed", labels=label)
        ejections = CounterMetricFamily("gateway_replica_ejections", "Times it was ejected", labels=label)
        for each in samples:
            available.add_metric([each.address], each.available)
            in_flight.add_metric([each.address], each.in_flight)
            attempts.add_metric([each.address], each.attempts, created=each.known_since)
            failures.add_metric([each.address], each.failures, created=each.known_since)
            ejections.add_metric([each.address], each.ejections, created=each.known_since)
        yield from (available, in_flight, attempts, failures, ejections)


BY_REPLICA = ByReplica()
REGISTRY.register(BY_REPLICA)

DISCOVERY_UP = Gauge("gateway_discovery_up", "1: the last look-up of the replicas' name succeeded, or there is none")
QUEUE = Gauge("gateway_queue_length", "Requests that wait for a replica")
BODY_BYTES = Gauge("gateway_body_bytes", "Bytes of request bodies in memory")
CONNECTIONS = Gauge("gateway_connections", "Open connections of clients")
LOG_LINES_DROPPED = Counter("gateway_log_lines_dropped_total", "Log lines dropped because writing them would block")
LOOP_LAG_SECONDS = Histogram(
    "gateway_loop_lag_seconds", "How late the event loop woke a task that sleeps for 20 ms", buckets=_LAGS
)
TASKS = Gauge("gateway_tasks", "Tasks of the event loop: a dozen that always run, requests and attempts")
IN_FLIGHT = Gauge("gateway_in_flight", "Classify and predict requests in progress, their bodies complete")


def forget_versions(kept: Collection[str]) -> None:
    """Drop the series of every version that no replica holds any more."""
    gone = [values for values in tuple(ATTEMPT_SECONDS._metrics) if values[0] not in kept]
    for values in gone:
        ATTEMPT_SECONDS.remove(*values)
    if gone:
        attempt_seconds.cache_clear()  # it holds the removed ones
