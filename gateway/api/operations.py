"""What an operator, a load balancer and a curious client ask: health, metrics, replicas, labels."""

import asyncio
from collections import Counter
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from gateway.api.classify import ModelVersion, version_of
from gateway.api.schema import problems_of
from gateway.decoding.pool import Decoders
from gateway.errors import NoReplicaError, ShuttingDownError
from gateway.observe import metrics
from gateway.services import Services, lifecycle_of, services_of

router = APIRouter(tags=["Operation"])


class Health(BaseModel):
    """A plain yes."""

    status: Literal["ok"] = "ok"


class Labels(BaseModel):
    """The class names in the order of the model's output."""

    labels: list[str] = Field(examples=[["Actiniaria", "Actinoptilum_molle"]])
    model: ModelVersion
    title: str = Field(description="What the model calls itself.")
    summary: str = Field(description="What it knows and what it is not for.")
    demo: bool = Field(description="True: taught on drawn pictures; its names mean nothing on photos.")


class ReplicaState(BaseModel):
    """One model server as the gateway sees it."""

    address: str = Field(examples=["10.0.1.7:8501"])
    state: Literal["available", "ejected", "not ready"] = Field(
        description="Only an available replica gets requests; an ejected one has failed and waits."
    )
    serving: str | None = Field(description="The version it is asked for by default.")
    versions: dict[str, str] = Field(
        description="All it told of, with their states.", examples=[{"1602685044": "AVAILABLE"}]
    )
    reason: str = Field(description="Why it is ejected or not ready, or why a newer version is refused.")
    in_flight: int = Field(ge=0)
    attempts: int = Field(ge=0, description="Since the gateway knows it.")
    failures: int = Field(ge=0, description="Attempts that it failed.")
    ejections: int = Field(ge=0, description="Times it was put out of turn.")
    usual_ms: float | None = Field(description="Running mean of its answers' times; null until it has answered.")


class Models(BaseModel):
    """The model and the replicas that serve it."""

    name: str
    serving: str | None = Field(description="The version that requests get by default: the newest.")
    canary: str | None = Field(description="The version on trial, GATEWAY_CANARY.")
    discovery: str = Field(description="Why the last look-up of the replicas' name failed; empty: it did not.")
    replicas: list[ReplicaState]


@router.get("/healthz", summary="Is the gateway alive?", responses=problems_of())
async def healthz() -> Health:
    """Answers as long as the process does; says nothing about replicas."""
    return Health()


@router.get("/readyz", summary="Can it classify?", responses=problems_of(NoReplicaError, ShuttingDownError))
async def readyz(request: Request) -> Health:
    """Answers 200 when some replica serves a version that this gateway accepts, and it has not been told to stop."""
    if lifecycle_of(request).draining:
        raise ShuttingDownError("This gateway stops; send requests to another one.", retry_after_s=1)
    services_of(request).current_model()
    return Health()


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems_of()},
)
async def prometheus(request: Request) -> Response:
    """Every instrument is described in docs/metrics.md."""
    show_replicas(services_of(request))
    show_decoders(services_of(request).decoders)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def show_replicas(services: Services) -> None:
    """What the pool knows, into the instruments; those of replicas that have gone vanish with them."""
    now, replicas = services.clock(), services.pool.replicas
    states = Counter(replica.state(now) for replica in replicas)
    for state in ("available", "ejected", "not ready"):
        metrics.REPLICAS.labels(state).set(states[state])
    metrics.QUEUE.set(len(services.line))
    metrics.TASKS.set(len(asyncio.all_tasks()))
    for instrument in metrics.BY_REPLICA:
        instrument.clear()
    for replica in replicas:
        metrics.REPLICA_UP.labels(replica.address).set(replica.state(now) == "available")
        metrics.REPLICA_IN_FLIGHT.labels(replica.address).set(replica.in_flight)
        metrics.REPLICA_ATTEMPTS.labels(replica.address).inc(replica.attempts)
        metrics.REPLICA_FAILURES.labels(replica.address).inc(replica.failed_attempts)
        metrics.REPLICA_EJECTIONS.labels(replica.address).inc(replica.times_ejected)


def show_decoders(decoders: Decoders) -> None:
    """Copy the free places, the free memory and the idle decode processes into the instruments."""
    quick, slow, memory_bytes = decoders.free
    metrics.DECODE_PLACES_FREE.labels("quick").set(quick)
    metrics.DECODE_PLACES_FREE.labels("slow").set(slow)
    metrics.DECODE_MEMORY_FREE.set(memory_bytes)
    metrics.DECODERS_IDLE.labels("quick").set(decoders.quick.idle)
    metrics.DECODERS_IDLE.labels("slow").set(decoders.slow.idle)


@router.get("/v1/labels", summary="The class names", responses=problems_of(NoReplicaError))
async def labels(request: Request) -> Labels:
    """All names in output order, with the version they belong to."""
    model = services_of(request).current_model()
    described = model.description
    return Labels(
        labels=list(model.labels),
        model=version_of(model),
        title=described.title,
        summary=described.summary,
        demo=described.demo,
    )


@router.get("/v1/models", summary="The replicas and their versions", responses=problems_of())
async def models(request: Request) -> Models:
    """What an operator wants to see first."""
    services = services_of(request)
    now = services.clock()
    model = services.pool.model
    return Models(
        name=services.settings.model_name,
        serving=model.version if model else None,
        canary=services.canary.version if services.canary else None,
        discovery=services.discovery.trouble,
        replicas=[
            ReplicaState(
                address=replica.address,
                state=replica.state(now),
                serving=default.version if (default := services.pool.model_of(replica, None)) else None,
                versions={str(version): state for version, state in replica.versions.items()},
                reason=replica.reason,
                in_flight=replica.in_flight,
                attempts=replica.attempts,
                failures=replica.failed_attempts,
                ejections=replica.times_ejected,
                usual_ms=round(replica.latency_s * 1000, 1) if replica.samples else None,
            )
            for replica in services.pool.replicas
        ],
    )
