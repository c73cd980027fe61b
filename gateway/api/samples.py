"""The pictures that a version brings for pages to offer."""

import base64

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from gateway.api.documents import ModelVersion
from gateway.api.operations import current_model
from gateway.api.schema import problems_of
from gateway.errors import InvalidParameterError, NoReplicaError, NotFoundError
from gateway.services import services_of

router = APIRouter(tags=["Classification"])


class SamplePicture(BaseModel):
    """One picture to try the model with."""

    title: str = Field(description="What it shows, for people.", examples=["Starfish (drawn)"])
    path: str = Field(description="Where it is, as a JPEG.", examples=["/v1/samples/1"])


class Samples(BaseModel):
    """The pictures that the version brings; none, as a rule, where its owner gave none."""

    samples: list[SamplePicture]
    model: ModelVersion


@router.get("/v1/samples", summary="Pictures to try it with", responses=problems_of(NoReplicaError))
async def samples(request: Request) -> Samples:
    """Small pictures that the model's owner offers to try it with."""
    model = current_model(services_of(request))
    listed = [
        SamplePicture(title=sample.title, path=f"/v1/samples/{number}")
        for number, sample in enumerate(model.description.samples, 1)
    ]
    return Samples(samples=listed, model=ModelVersion(name=model.name, version=model.version))


@router.get(
    "/v1/samples/{number}",
    summary="One of these pictures",
    response_class=Response,
    responses={
        **problems_of(NotFoundError, InvalidParameterError, NoReplicaError),
        200: {"description": "The picture.", "content": {"image/jpeg": {}}},
    },
)
async def sample(request: Request, number: int) -> Response:
    """One of the pictures that /v1/samples lists."""
    found = current_model(services_of(request)).description.samples
    if not 1 <= number <= len(found):
        raise NotFoundError(f"The model brings {len(found)} samples: /v1/samples lists them.")
    return Response(base64.b64decode(found[number - 1].jpeg), media_type="image/jpeg")
