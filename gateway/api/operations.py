"""For operators, load balancers and clients: health, metrics, replicas, labels."""

import asyncio
from collections import Counter
from itertools import repeat
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from gateway.api.documents import ModelVersion
from gateway.api.schema import problems_of
from gateway.decoding.pool import Decoders
from gateway.errors import RETRY_AFTER_S, NoReplicaError, ShuttingDownError
from gateway.observe import metrics
from gateway.services import Services, lifecycle_of, services_of
from gateway.tfserving.contract import ServedModel

router = APIRouter(tags=["Operation"])


class Health(BaseModel):
    """The answer where the status is 200."""

    status: Literal["ok"] = "ok"


class ClassNames(BaseModel):
    """One class: its label, and the names that people give it."""

    label: str = Field(examples=["Bolocera_kerguelensis"])
    display_name: str = Field(examples=["Bolocera kerguelensis"])
    group: str | None = Field(
        None,
        description="Path of the group that it belongs to; absent where the model names none.",
        examples=["Cnidaria/Hexacorallia/Actiniaria/Actiniidae"],
    )
    names: dict[str, str] = Field(
        description="Its names in other languages, by BCP 47 tag.", examples=[{"de": "Kerguelen-Seeanemone"}]
    )
    link: str | None = Field(
        None,
        description="Web page about it; absent where the model names none.",
        examples=["https://www.marinespecies.org/aphia.php?p=taxdetails&id=100819"],
    )


class GroupNames(BaseModel):
    """One group of labels."""

    path: str = Field(examples=["Arthropoda/Malacostraca/Decapoda/Lithodidae"])
    display_name: str = Field(description="The name for people.", examples=["King crabs"])
    names: dict[str, str] = Field(
        description="Its names in other languages, by BCP 47 tag.", examples=[{"de": "Königskrabben"}]
    )
    link: str | None = Field(None, description="Web page about it; absent where the model names none.")


class Labels(BaseModel):
    """The class names in the order of the model's output."""

    labels: list[str] = Field(examples=[["Actiniaria", "Bolocera_kerguelensis"]])
    classes: list[ClassNames] = Field(description="The same labels, each with what is known of it.")
    languages: list[str] = Field(
        description="Tags that `lang` and Accept-Language can choose for the display names.", examples=[["af", "de"]]
    )
    model: ModelVersion
    title: str = Field(description="The model's name for people.")
    summary: str = Field(description="What the model can classify, and what it is not for.")
    demo: bool = Field(description="True: none of its classes was learnt from photos of it.")
    groups: list[GroupNames] = Field(description="Groups with a name of their own for people.")
    sure_at: float | None = Field(
        None, description="Confidence from which an `answer` is sure; absent where the model does not say."
    )
    familiar_at: float | None = Field(
        None, description="Familiarity below which there is no `answer`; absent where the model does not say."
    )


class ReplicaState(BaseModel):
    """One model server as the gateway sees it."""

    address: str = Field(examples=["10.0.1.7:8501"])
    state: Literal["available", "ejected", "not ready"] = Field(
        description="Only an available replica gets requests. An ejected one has failed and gets none for a while."
    )
    serving: str | None = Field(description="The version that it is asked for by default.")
    versions: dict[str, str] = Field(
        description="Every version that it reports, with its state.", examples=[{"1602685044": "AVAILABLE"}]
    )
    refused: dict[str, str] = Field(
        description="The versions that are not served from here, and why.",
        examples=[{"1602685045": "version 1602685045 is refused: it has 3 labels for 4 outputs"}],
    )
    reason: str = Field(
        description="Why it is ejected, not ready or slow, or why a version is refused; empty otherwise."
    )
    in_flight: int = Field(ge=0)
    attempts: int = Field(ge=0, description="Attempts since the gateway learnt of the replica.")
    failures: int = Field(ge=0, description="Attempts that failed.")
    ejections: int = Field(ge=0, description="Times it was ejected.")
    usual_ms: float | None = Field(description="Running mean of its response times; null before its first answer.")


class Models(BaseModel):
    """The model and the replicas that serve it."""

    name: str
    serving: str | None = Field(description="The version that requests get by default: the newest.")
    canary: str | None = Field(description="The version of GATEWAY_CANARY.")
    discovery: str = Field(description="Why the last look-up of the replicas' name failed; empty: it succeeded.")
    replicas: list[ReplicaState]


@router.get("/healthz", summary="Is the gateway alive?", responses=problems_of())
async def healthz() -> Health:
    """Answers 200 as long as the process runs, whatever the state of the replicas."""
    return Health()


@router.get("/readyz", summary="Can it classify?", responses=problems_of(NoReplicaError, ShuttingDownError))
async def readyz(request: Request) -> Health:
    """Answers 200 while a replica serves a version that the gateway accepts, and the gateway is not stopping."""
    if lifecycle_of(request).draining:
        raise ShuttingDownError("This gateway is stopping; send requests to another one.", retry_after_s=1)
    current_model(services_of(request))
    return Health()


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems_of()},
)
async def prometheus(request: Request) -> Response:
    """Every instrument is described in docs/metrics.md."""
    return Response(rendering.text(services_of(request)), media_type=CONTENT_TYPE_LATEST)


class Rendering:
    """The metrics as text. Rendering takes 2 ms, so there are twenty a second at most; further requests share the last.

    Thousands of scrapes at once would otherwise stop the event loop for seconds, and each would hold a copy.
    """

    MOST_PER_S = 20

    def __init__(self) -> None:
        self._began = float("-inf")
        self._count = 0
        self._text = b""

    def text(self, services: Services) -> bytes:
        """In Prometheus' format; at most a second old."""
        now = services.clock()
        if not self._began <= now < self._began + 1:
            self._began, self._count = now, 0
        if self._count < self.MOST_PER_S:
            self._count += 1
            read_gauges(services)
            show_decoders(services.decoders)
            self._text = generate_latest()
        return self._text


rendering = Rendering()
"""The instruments belong to the process, and so does their text."""


def read_gauges(services: Services) -> None:
    """Set what is not counted where it happens: the state of the pool, the queue and the event loop."""
    now, replicas = services.clock(), services.pool.replicas
    states = Counter(replica.state(now) for replica in replicas)
    for state in ("available", "ejected", "not ready"):
        metrics.REPLICAS.labels(state).set(states[state])
    metrics.QUEUE.set(len(services.pool.queue.waiting))
    metrics.TASKS.set(len(asyncio.all_tasks()))
    metrics.VERSIONS_REFUSED.clear()
    for (version, kind), count in Counter((v, why.kind) for r in replicas for v, why in r.refused.items()).items():
        metrics.VERSIONS_REFUSED.labels(str(version), kind).set(count)
    metrics.BY_REPLICA.samples = [
        metrics.ReplicaSample(
            address=replica.address,
            known_since=replica.known_since,
            available=replica.state(now) == "available",
            in_flight=replica.in_flight,
            attempts=replica.attempts,
            failures=replica.failed_attempts,
            ejections=replica.times_ejected,
        )
        for replica in replicas
    ]


def current_model(services: Services) -> ServedModel:
    """The newest version that requests get by default.

    Raises:
        NoReplicaError: no replica serves any.
    """
    if (model := services.pool.model) is None:
        raise NoReplicaError("No replica serves this model at the moment.", retry_after_s=RETRY_AFTER_S)
    return model


def show_decoders(decoders: Decoders) -> None:
    """Copy the free places, the free memory and the idle decode processes into the instruments."""
    quick, slow, memory_bytes = decoders.free
    metrics.DECODE_PLACES_FREE.labels("quick").set(quick)
    metrics.DECODE_PLACES_FREE.labels("slow").set(slow)
    metrics.DECODE_MEMORY_FREE.set(memory_bytes)
    metrics.DECODERS_IDLE.labels("quick").set(decoders.quick.idle)
    metrics.DECODERS_IDLE.labels("slow").set(decoders.slow.idle)


@router.get("/v1/labels", response_model=Labels, summary="The class names", responses=problems_of(NoReplicaError))
async def labels(request: Request) -> Response:
    """All class names in the order of the model's output, in all languages, with the version they belong to."""
    return Response(listing.text(current_model(services_of(request))), media_type="application/json")


class Listing:
    """The answer of /v1/labels, made once per version: a thousand classes in 25 languages take 9 ms."""

    def __init__(self) -> None:
        self._model: ServedModel | None = None
        self._text = ""

    def text(self, model: ServedModel) -> str:
        """As JSON."""
        if model is not self._model:
            self._model, self._text = model, labels_of(model).model_dump_json(exclude_none=True)
        return self._text


listing = Listing()
"""One gateway serves one model."""


def labels_of(model: ServedModel) -> Labels:
    """What /v1/labels answers for a version."""
    described = model.description
    groups, links = described.groups or repeat(""), described.links or repeat("")
    classes = [
        ClassNames(
            label=label,
            display_name=display_name,
            group=group or None,
            names={tag: texts[index] for tag, texts in described.names.items() if texts[index]},
            link=link or None,
        )
        for index, (label, display_name, group, link) in enumerate(
            zip(described.labels, described.display_names, groups, links, strict=False)
        )
    ]
    return Labels(
        labels=list(described.labels),
        classes=classes,
        languages=sorted(described.names),
        model=ModelVersion(name=model.name, version=model.version),
        title=described.title,
        summary=described.summary,
        demo=described.demo,
        groups=[GroupNames(**group.model_dump() | {"link": group.link or None}) for group in described.named_groups],
        sure_at=described.sure_at,
        familiar_at=described.familiar_at,
    )


@router.get("/v1/models", summary="The replicas and their versions", responses=problems_of())
async def models(request: Request) -> Models:
    """The state of every replica, and the reason where it gets no requests."""
    services = services_of(request)
    now = services.clock()
    model = services.pool.model
    return Models(
        name=services.settings.model_name,
        serving=model.version if model else None,
        canary=services.versions.canary.version if services.versions.canary else None,
        discovery=services.discovery.trouble,
        replicas=[
            ReplicaState(
                address=replica.address,
                state=replica.state(now),
                serving=default.version if (default := services.pool.model_of(replica)) else None,
                versions={str(version): status.state for version, status in replica.versions.items()},
                refused={str(version): refusal.reason for version, refusal in replica.refused.items()},
                reason=replica.reason,
                in_flight=replica.in_flight,
                attempts=replica.attempts,
                failures=replica.failed_attempts,
                ejections=replica.times_ejected,
                usual_ms=round(replica.latency.value * 1000, 1) if replica.latency.samples else None,
            )
            for replica in services.pool.replicas
        ],
    )
