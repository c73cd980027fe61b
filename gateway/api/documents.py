"""The documents that classification answers with. Their descriptions are those of the OpenAPI document."""

import operator
from functools import partial
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.http.problems import Problem

FROM_ATTRIBUTES = ConfigDict(from_attributes=True)

IS_NONE = partial(operator.is_, None)
"""For fields that are absent where there is nothing to say, and not null."""


class Label(BaseModel):
    """A class name and its confidence."""

    model_config = FROM_ATTRIBUTES

    label: str = Field(description="Class name; the same in every language.", examples=["Bolocera_kerguelensis"])
    display_name: str = Field(description="The name for people.", examples=["Bolocera kerguelensis"])
    confidence: float = Field(ge=0, le=1, description="Calibrated probability.", examples=[0.759])
    index: int = Field(
        ge=0, description="Position of the class in the model's output and in /v1/labels.", examples=[17]
    )
    group: str | None = Field(
        None,
        exclude_if=IS_NONE,
        description="Path of the group that it belongs to; absent where the model names none.",
        examples=["Cnidaria/Hexacorallia/Actiniaria/Actiniidae"],
    )


class Answer(BaseModel):
    """The most specific statement that the model is sure of: one label, or one group of labels."""

    model_config = FROM_ATTRIBUTES

    name: str = Field(description="Its name for people.", examples=["King crabs"])
    kind: Literal["label", "group"] = Field(examples=["group"])
    label: str | None = Field(
        None,
        exclude_if=IS_NONE,
        description="Class name, where it is a label.",
    )
    group: str | None = Field(
        None,
        exclude_if=IS_NONE,
        description="Path of the group, or of the label's group; absent where it has none.",
        examples=["Arthropoda/Malacostraca/Decapoda/Lithodidae"],
    )
    confidence: float = Field(
        ge=0, le=1, description="Calibrated probability; of a group the sum of its labels'.", examples=[0.889]
    )


SURE = Field(
    None,
    description="What the picture shows, as specific as the model is sure of; null where it is not sure of anything, "
    "or where the picture resembles nothing that it was taught.",
)
FAMILIARITY = Field(
    None,
    exclude_if=IS_NONE,
    ge=0,
    le=1,
    description="How much the picture resembles what the model was taught; absent where the model does not say.",
    examples=[0.931],
)


class ModelVersion(BaseModel):
    """The model that answered."""

    model_config = FROM_ATTRIBUTES

    name: str = Field(examples=["my_model"])
    version: str = Field(examples=["1602685044"])


class ImageFacts(BaseModel):
    """The picture as it was received."""

    model_config = FROM_ATTRIBUTES

    format: str = Field(description="By its bytes; its name and Content-Type do not count.", examples=["JPEG"])
    width: int = Field(ge=1, description="Pixels as displayed, after the rotation in EXIF.", examples=[512])
    height: int = Field(ge=1, description="Pixels as displayed.", examples=[342])


class Classification(BaseModel):
    """What one picture shows, and the labels for it, best first."""

    answer: Answer | None = SURE
    familiarity: float | None = FAMILIARITY
    predictions: list[Label]
    model: ModelVersion
    image: ImageFacts
    request_id: str


class BatchItem(BaseModel):
    """One picture of a batch: what it shows and its labels, or the problem with it."""

    answer: Answer | None = SURE
    familiarity: float | None = FAMILIARITY
    predictions: list[Label] | None = None
    model: ModelVersion | None = None
    image: ImageFacts | None = None
    problem: Problem | None = None


class Batch(BaseModel):
    """One result per picture, in the order they were sent."""

    results: list[BatchItem]
    request_id: str
