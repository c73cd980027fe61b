"""The upload, in a straight line: body to bytes, to pixels, to probabilities, to labels."""

import asyncio
from http import HTTPStatus

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway import languages
from gateway.answers import say
from gateway.api.documents import Batch, BatchItem, Classification
from gateway.api.schema import (
    CONNECTION_PROBLEMS,
    PICTURE_PROBLEMS,
    REPLICA_PROBLEMS,
    SPOKEN,
    form_of_pictures,
    in_a_language,
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
from gateway.labels import LabelMap
from gateway.observe import metrics, tracing
from gateway.replicas.versions import Binding
from gateway.services import Services, services_of
from gateway.tfserving.contract import Prediction

BATCH_AT_ONCE = 8
"""Pictures of one batch in progress at a time: enough to keep replicas busy, too few to starve other requests."""

PATH = "/v1/classify"

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
    """The query string. A misspelt `topk` is refused, because it would silently mean the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top_k: int = Field(5, ge=1, le=100_000, description="How many labels to return, best first.")
    min_confidence: float = Field(0, ge=0, le=1, description="Leave out labels below this confidence.")
    sure_at: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Confidence from which the `answer` is sure. Default: the model's own, as /v1/labels tells it.",
    )
    version: str | None = Field(
        None,
        pattern="^[A-Za-z0-9_]{1,64}$",
        description="Version of the model to ask: its number, or a version label that the replicas are configured "
        "with. Default: the newest. /v1/models lists the numbers.",
    )
    lang: str | None = Field(
        None,
        pattern=f"^{languages.PATTERN}$",
        max_length=languages.LONGEST,
        description="Language of the display names, a BCP 47 tag. Default: what the header Accept-Language asks for. "
        "/v1/labels lists the languages of a version; for any other you get its plain display names.",
        examples=["de"],
    )


DEFAULTS = Options()


def options_of(request: Request) -> Options:
    """The query string, read here because FastAPI takes 0.2 ms for it; most requests have none.

    Raises:
        InvalidParameterError: a value is out of its range, or a parameter is unknown.
    """
    if not request.scope["query_string"]:
        return DEFAULTS
    try:
        return Options.model_validate_strings(dict(request.query_params))
    except ValidationError as mistake:
        raise InvalidParameterError(problems.first_mistake(mistake.errors())) from mistake


# --- One picture --------------------------------------------------------------------------------------------------


@router.post(
    PATH,
    response_model=Classification,
    summary="Classify one picture",
    openapi_extra=one_picture() | in_a_language(query_of(Options)),
    responses=problems_of(*FORM_PROBLEMS, DuplicateFieldError, *PICTURE_PROBLEMS, *REPLICA_PROBLEMS) | SPOKEN,
)
async def classify(request: Request) -> Response:
    """Send the picture as the multipart file field `image`, or as the body. PUT is the same as POST.

    The bytes say which format it is, and base64 is decoded.
    """
    options, services = options_of(request), services_of(request)
    with tracing.stage("read"):
        data = await uploads.read_picture_bytes(request, max_bytes=services.settings.max_upload_bytes)
    deadline = services.deadline()
    binding = await services.versions.binding(options.version, request, deadline=deadline)
    with tracing.stage("preprocess"):
        picture = await services.decoders.picture(data, deadline=deadline)
    with tracing.stage("predict"):
        prediction = await services.dispatcher.predict(picture.pixels, deadline=deadline, binding=binding)
    language = language_of(request, options, prediction.model.description)
    answer = Classification.model_validate(
        {**described(picture, prediction, options, language), "request_id": request.state.request_id}
    )
    headers = {"Content-Language": language} if language else None
    # FastAPI would validate it once more.
    return Response(answer.model_dump_json(), headers=headers, media_type="application/json")


def described(picture: Picture, prediction: Prediction, options: Options, language: str | None) -> dict[str, object]:
    """The fields of one picture's answer. The API's models read their own from the attributes of these."""
    said = say(
        prediction.probabilities,
        prediction.model.description,
        prediction.model.statements,
        sure_at=threshold_of(prediction, options),
        top_k=options.top_k,
        min_confidence=options.min_confidence,
        language=language,
    )
    metrics.answers(said.answer.kind if said.answer else "none").inc()
    return {**said._asdict(), "familiarity": prediction.familiarity, "model": prediction.model, "image": picture}


def threshold_of(prediction: Prediction, options: Options) -> float | None:
    """The confidence from which the answer is sure: the caller's or the model's; None: nothing is.

    A picture that resembles nothing that the model was taught gets no sure answer, whatever the caller's threshold.
    """
    told = prediction.model.description
    if prediction.familiarity is not None and prediction.familiarity < (told.familiar_at or 0):
        return None
    return told.sure_at if options.sure_at is None else options.sure_at


def language_of(request: Request, options: Options, label_map: LabelMap) -> str | None:
    """The language in which this caller gets the names; None: the display names, as where there are no others."""
    if not label_map.names:
        return None
    if options.lang:
        return languages.lookup([options.lang], label_map.languages)
    asked = ",".join(request.headers.getlist("accept-language"))
    return languages.lookup(languages.ranges_of(asked), label_map.languages)


# --- Several pictures ---------------------------------------------------------------------------------------------

Answered = tuple[Picture, Prediction]


@router.post(
    "/v1/classify/batch",
    summary="Classify several pictures",
    response_model=Batch,
    openapi_extra=form_of_pictures() | in_a_language(query_of(Options)),
    responses=problems_of(*FORM_PROBLEMS, TooManyImagesError, *REPLICA_PROBLEMS) | SPOKEN,
)
async def classify_batch(request: Request) -> Response:
    """Send each picture as a multipart file field `image`. A bad picture does not fail the others."""
    options, services = options_of(request), services_of(request)
    settings, request_id = services.settings, request.state.request_id
    with tracing.stage("read"):
        pictures = await uploads.read_batch(
            request, max_bytes=settings.max_batch_bytes, max_images=settings.max_batch_images
        )
    deadline = services.deadline()
    binding = await services.versions.binding(options.version, request, deadline=deadline)
    outcomes = await outcomes_of(services, pictures, binding, deadline)
    raise_failure_of_all(outcomes)
    models = (outcome[1].model for outcome in outcomes if not isinstance(outcome, BaseException))
    model = next(models, None)  # all are of one version
    language = language_of(request, options, model.description) if model else None
    results = [item(outcome, options, language, request_id) for outcome in outcomes]
    answer = Batch(results=results, request_id=request_id)
    headers = {"Content-Language": language} if language else None
    return Response(answer.model_dump_json(exclude_unset=True), headers=headers, media_type="application/json")


async def outcomes_of(
    services: Services, pictures: list[bytes], binding: Binding, deadline: float
) -> list[Answered | BaseException]:
    """One outcome per picture, in order, all of one version; a failure is a value and does not end the others.

    Where the last replica drops the version in between, the pictures that it has answered are asked again.
    """
    turns, asked = asyncio.Semaphore(BATCH_AT_ONCE), Asked()
    outcomes = await asyncio.gather(
        *(classified(services, data, turns, binding, asked, deadline) for data in pictures), return_exceptions=True
    )
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, BaseException) and outcome[1].model.version != binding.version:
            again = predicted(services, outcome[0], binding, asked, deadline)
            (outcomes[number],) = await asyncio.gather(again, return_exceptions=True)
    asked.log()
    return outcomes


async def classified(
    services: Services, data: bytes, turns: asyncio.Semaphore, binding: Binding, asked: "Asked", deadline: float
) -> Answered:
    """One picture of a batch."""
    if len(data) > services.settings.max_upload_bytes:
        raise uploads.picture_too_large(services.settings.max_upload_bytes)
    data = uploads.binary(data)
    async with turns, services.batch_places.held(1):
        with tracing.stage("preprocess"):
            picture = await services.decoders.picture(data, deadline=deadline)
        return await predicted(services, picture, binding, asked, deadline)


async def predicted(
    services: Services, picture: Picture, binding: Binding, asked: "Asked", deadline: float
) -> Answered:
    """The prediction from a replica that has the version of the batch."""
    try:
        with tracing.stage("predict"):
            prediction = await services.dispatcher.predict(picture.pixels, deadline=deadline, binding=binding)
    finally:
        asked.note()
    return picture, prediction


class Asked:
    """The replicas that a batch asked, for its log line; each picture is a task, with log variables of its own."""

    def __init__(self) -> None:
        self._replicas: set[str] = set()
        self._attempts = 0

    def note(self) -> None:
        """Called in the task of a picture, when its prediction has ended."""
        bound = structlog.contextvars.get_contextvars()
        if "replica" in bound:
            self._replicas.add(bound["replica"])
            self._attempts += bound["attempts"]

    def log(self) -> None:
        """Called in the task of the request."""
        structlog.contextvars.unbind_contextvars("replica", "attempts")  # of the look-up of a version label
        structlog.contextvars.bind_contextvars(replicas=sorted(self._replicas), attempts=self._attempts)


def raise_failure_of_all(outcomes: list[Answered | BaseException]) -> None:
    """Fail the whole batch where no picture was answered and none was to blame."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if len(failures) == len(outcomes) and not any(map(is_of_its_picture, failures)):
        outcomes.clear()  # a list of the caller's that held what is raised would keep the pictures in memory
        raise failures.pop(0)


def is_of_its_picture(failure: BaseException) -> bool:
    """Whether the picture is to blame, and not the gateway, the replicas or the version that was asked for."""
    return (
        isinstance(failure, GatewayError)
        and failure.status < HTTPStatus.INTERNAL_SERVER_ERROR
        and not isinstance(failure, VersionNotServedError)
    )


def item(outcome: Answered | BaseException, options: Options, language: str | None, request_id: str) -> BatchItem:
    """One result of a batch."""
    if isinstance(outcome, BaseException):
        return BatchItem(problem=problems.noted_problem(outcome, request_id))
    return BatchItem.model_validate(described(*outcome, options, language))
