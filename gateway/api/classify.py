"""The upload, a straight line: the body to bytes, to pixels, to probabilities, to names."""

import asyncio
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.api.schema import (
    CONNECTION_PROBLEMS,
    PICTURE_PROBLEMS,
    REPLICA_PROBLEMS,
    form_of_pictures,
    one_picture,
    problems_of,
    query_of,
)
from gateway.errors import (
    BodyTooLargeError,
    DuplicateFieldError,
    GatewayError,
    InvalidMultipartError,
    InvalidParameterError,
    MissingImageError,
    NotAFileError,
    OverloadedError,
    TooManyImagesError,
    UnknownFieldError,
    UnsupportedMediaTypeError,
    VersionNotServedError,
)
from gateway.http import problems, uploads
from gateway.imaging import Picture
from gateway.labels import top_k
from gateway.observe import metrics
from gateway.replicas.dispatch import Prediction
from gateway.replicas.versions import Binding
from gateway.services import Services, services_of
from gateway.tfserving.contract import ServedModel

BATCH_AT_ONCE = 8
"""Pictures of one batch at work at once: enough to keep the replicas busy, too few to shut others out."""

router = APIRouter(tags=["Classification"])

FORM_PROBLEMS = (
    *CONNECTION_PROBLEMS,
    InvalidParameterError,
    InvalidMultipartError,
    MissingImageError,
    NotAFileError,
    UnknownFieldError,
    BodyTooLargeError,
    UnsupportedMediaTypeError,
    VersionNotServedError,
    OverloadedError,
)


class Options(BaseModel):
    """The query string. A misspelt `topk` is refused: it would otherwise be taken for the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: int = Field(5, ge=1, le=100_000, description="How many names to give, best first.")
    min_confidence: float = Field(0, ge=0, le=1, description="Leave out names below this confidence.")
    version: str | None = Field(
        None,
        pattern="^[A-Za-z0-9_]{1,64}$",
        description="Version of the model that shall answer, by its number or by a label that the replicas' "
        "configuration gives it; by default the newest. /v1/models lists the numbers.",
    )


USUAL = Options()


def options_of(request: Request) -> Options:
    """What the query string says; by hand, since nearly all say nothing, and FastAPI would look for 0.2 ms.

    Raises:
        InvalidParameterError: a value is none that the option has, or there is no such option.
    """
    if not request.scope["query_string"]:
        return USUAL
    try:
        return Options.model_validate_strings(dict(request.query_params))
    except ValidationError as mistake:
        raise InvalidParameterError(problems.first_mistake(mistake.errors())) from mistake


class Label(BaseModel):
    """One name for what is in the picture."""

    label: str = Field(description="Class name.", examples=["Actiniaria"])
    confidence: float = Field(ge=0, le=1, description="Calibrated probability.", examples=[0.759])
    index: int = Field(ge=0, description="Place of the class in the model's output, and in /v1/labels.", examples=[0])


class ModelVersion(BaseModel):
    """Which model answered."""

    name: str = Field(examples=["my_model"])
    version: str = Field(examples=["1602685044"])


class ImageFacts(BaseModel):
    """The picture as it was received."""

    format: str = Field(description="By its bytes, whatever its name or Content-Type says.", examples=["JPEG"])
    width: int = Field(ge=1, description="Pixels, as displayed: after the turn that EXIF asks for.", examples=[512])
    height: int = Field(ge=1, description="Pixels, as displayed.", examples=[342])


class Classification(BaseModel):
    """Names for one picture, best first."""

    predictions: list[Label]
    model: ModelVersion
    image: ImageFacts
    request_id: str


class BatchItem(BaseModel):
    """One picture of a batch: either names, or the problem with it."""

    predictions: list[Label] | None = None
    model: ModelVersion | None = None
    image: ImageFacts | None = None
    problem: problems.Problem | None = None


class Batch(BaseModel):
    """An item for each picture, in the order they were sent."""

    results: list[BatchItem]
    request_id: str


@router.post(
    "/v1/classify",
    response_model=Classification,
    summary="Name what is in one picture",
    openapi_extra=one_picture() | query_of(Options),
    responses=problems_of(*FORM_PROBLEMS, DuplicateFieldError, *PICTURE_PROBLEMS, *REPLICA_PROBLEMS),
)
async def classify(request: Request) -> Response:
    """Send the picture as the multipart file field `image`, or as the body with its own `image/*` type."""
    services, options = services_of(request), options_of(request)
    services.in_flight.check()
    with metrics.stage("read"):
        data = await uploads.read_picture_bytes(request, max_bytes=services.settings.max_upload_bytes)
    with services.in_flight:
        picture = await services.preprocess(data)
        prediction = await predict(services, picture, await services.binding(request, options.version))
    answer = Classification(
        predictions=names(prediction, options),
        model=version_of(prediction.model),
        image=facts(picture),
        request_id=request.state.request_id,
    )
    return Response(answer.model_dump_json(), media_type="application/json")  # FastAPI would check it all once more


@router.post(
    "/v1/classify/batch",
    summary="Name what is in several pictures",
    openapi_extra=form_of_pictures() | query_of(Options),
    response_model_exclude_none=True,
    responses=problems_of(*FORM_PROBLEMS, TooManyImagesError, *REPLICA_PROBLEMS),
)
async def classify_batch(request: Request) -> Batch:
    """Send each picture as a multipart file field `image`. One that is bad carries its own problem."""
    services, options = services_of(request), options_of(request)
    settings = services.settings
    request_id = request.state.request_id
    services.in_flight.check()
    with metrics.stage("read"):
        pictures = await uploads.read_batch(
            request, max_bytes=settings.max_batch_bytes, max_images=settings.max_batch_images
        )
    with services.in_flight:
        outcomes = await outcomes_of(services, pictures, await services.binding(request, options.version))
    failures = [failure for failure in outcomes if isinstance(failure, GatewayError)]
    if len(failures) == len(outcomes) and all(map(is_of_the_whole, failures)):
        raise failures[0]  # not one was answered, through no fault of the pictures
    return Batch(results=[item(result, options, request_id) for result in outcomes], request_id=request_id)


async def predict(services: Services, picture: Picture, binding: Binding) -> Prediction:
    """Probabilities of one picture, from a replica that has the version which the request is bound to."""
    with metrics.stage("predict"):
        return await services.dispatcher.predict(picture.pixels, deadline=services.deadline(), binding=binding)


Outcome = tuple[Picture, Prediction] | GatewayError


async def outcomes_of(services: Services, pictures: list[bytes], binding: Binding) -> list[Outcome]:
    """An outcome each, in order, all of one version.

    Where the version disappears from the last replica in the middle, the pictures that it has answered are asked again.
    """
    turns = asyncio.Semaphore(BATCH_AT_ONCE)
    outcomes = await asyncio.gather(*(outcome(services, data, turns, binding) for data in pictures))
    for number, result in enumerate(outcomes):
        if not isinstance(result, GatewayError) and result[1].model.version != binding.version:
            outcomes[number] = await answered(services, result[0], binding)
    return outcomes


async def outcome(services: Services, data: bytes, turns: asyncio.Semaphore, binding: Binding) -> Outcome:
    """One picture of a batch, whose failure must not end its neighbours."""
    if len(data) > services.settings.max_upload_bytes:
        return uploads.too_large(services.settings.max_upload_bytes)
    async with turns:
        try:
            picture = await services.preprocess(data)
        except GatewayError as problem:
            return problem
        return await answered(services, picture, binding)


async def answered(services: Services, picture: Picture, binding: Binding) -> Outcome:
    """The prediction, or why there is none."""
    try:
        return picture, await predict(services, picture, binding)
    except GatewayError as problem:
        return problem


def is_of_the_whole(failure: GatewayError) -> bool:
    """Not of one picture: ours, or of the version that the request asks for."""
    return failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(failure, VersionNotServedError)


def item(result: Outcome, options: Options, request_id: str) -> BatchItem:
    """One line of a batch's answer."""
    if isinstance(result, GatewayError):
        return BatchItem(problem=problems.to_problem(result, request_id))
    picture, prediction = result
    return BatchItem(
        predictions=names(prediction, options),
        model=version_of(prediction.model),
        image=facts(picture),
    )


def names(prediction: Prediction, options: Options) -> list[Label]:
    """The best few, as the API spells them."""
    ranked = top_k(
        prediction.probabilities, prediction.model.labels, options.top_k, min_confidence=options.min_confidence
    )
    return [Label(label=line.label, confidence=line.confidence, index=line.index) for line in ranked]


def version_of(model: ServedModel) -> ModelVersion:
    """The model, as the API spells it."""
    return ModelVersion(name=model.name, version=model.version)


def facts(picture: Picture) -> ImageFacts:
    """The picture, as the API spells it."""
    return ImageFacts(format=picture.format, width=picture.width, height=picture.height)
