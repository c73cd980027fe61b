"""The options of a training run, and the phases that follow from them. No TensorFlow here."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from training.errors import DataSetError
from training.learn import weights as sources

PRETRAINED_PHASES = {"sizes": (224, 224), "epochs": (10.0, 20.0), "rates": (1e-3, 1e-4)}
"""Only the head, then the whole network at a tenth of the rate; batch norm keeps its statistics."""
SCRATCH_PHASES = {"sizes": (56, 112, 224), "epochs": (20.0, 6.0, 2.0), "rates": (3e-3, 1.5e-3, 5e-4)}
"""From small pictures to the served size: a step at 56 px costs a tenth of one at 224."""
SIZES_PX = (32, 56, 112, 224)
"""Whole fractions of the served size that are large enough for the network."""

WARM_UP = 0.1
"""Share of a phase's steps over which the rate rises."""
FINAL_RATE = 0.01
"""Rate at the end of a phase, as a share of the highest."""

BackboneName = Literal["auto", "efficientnet_lite0", "mobilenet_v2"]
"""The names of `model.BACKBONES`; options never keep auto."""
Augment = Literal["none", "mirror", "standard"]
Distribution = Literal["none", "mirrored", "workers"]
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


class Phase(BaseModel):
    """Epochs of training at one picture size."""

    model_config = ConfigDict(frozen=True)

    name: str
    side_px: int
    epochs: float
    """May have a fraction: 0.5 trains on every second picture."""
    rate: float
    """Highest learning rate, of Adam."""
    frozen: bool = False
    """True: only the head is trained."""
    norms_learn: bool = False
    """False: batch norm keeps its statistics, as at inference."""

    def rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0: a linear rise, then half a cosine down."""
        warm = max(int(steps * WARM_UP), 1)
        if step < warm:
            return self.rate * (step + 1) / warm
        done = (step - warm) / max(steps - warm, 1)
        return self.rate * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def out_of_patience(losses: list[float], patience: int) -> bool:
    """Whether none of the last `patience` epochs had a lower loss than the best before them."""
    best = losses.index(min(losses))
    return len(losses) - 1 - best >= patience


def _numbers(value: Any) -> Any:
    """Numbers from text such as `10,20`; anything else stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError as cause:
        raise ValueError("give numbers with commas between, such as 10,20") from cause


def _resolved(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """The record of a run is read in other working directories."""
    return tuple(folder.resolve() for folder in folders)


def _chosen(value: Any, info: ValidationInfo) -> Any:
    """For auto: EfficientNet-Lite0 from ImageNet weights where they are installed, unless a width is given."""
    if value != "auto":
        return value
    pretrained = info.data.get("weights") == "imagenet" and info.data.get("width") == 1.0 and sources.installed()
    return "efficientnet_lite0" if pretrained else "mobilenet_v2"


Sizes = Annotated[tuple[int, ...], BeforeValidator(_numbers)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(_numbers)]


class Options(BaseModel):
    """Everything that decides a run. The same options on the same data make the same model, within noise.

    The command line makes its options from these fields: names, defaults and descriptions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(description="Folder of the data set, or a CSV file.")
    also: Annotated[tuple[Path, ...], AfterValidator(_resolved)] = Field(
        (), description="Other folders that files and links of the data set may lead to; may be repeated."
    )
    labels: Path | None = Field(
        None,
        description="Label file: one class per line, or a CSV; in the order of the outputs. Sorted by name by default.",
    )
    weights: str = Field(
        "imagenet", description="Weights of the body: imagenet, none, or a file (Keras .h5, a run's model.keras)."
    )
    width: float = Field(
        1.0, gt=0, le=1.4, description="Width of mobilenet_v2: 1.0 is the published network, 0.35 a small one."
    )
    backbone: Annotated[BackboneName, BeforeValidator(_chosen)] = Field(
        "auto",
        validate_default=True,
        description="Network below the head; auto is efficientnet_lite0 where its ImageNet weights are installed and "
        "wanted, else mobilenet_v2.",
    )
    quick: bool = Field(
        False,
        description="Only fit a head on the features of the pre-trained network: seconds; `train` without it goes on.",
    )
    sizes: Sizes = Field(
        (), description="Picture side in each phase, in pixels: 32, 56, 112 or 224. The model keeps the last one."
    )
    epochs: Numbers = Field((), description="Epochs of each phase; 0.5 sees half of the pictures.")
    rates: Numbers = Field((), description="Highest learning rate of each phase.")
    batch: int = Field(32, ge=2, description="Pictures per step, over all devices together.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of the features dropped while training.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Share of the target spread evenly over all classes.")
    augment: Augment = Field(
        "standard", description="Augmentation; standard mirrors, turns, shifts, scales and changes the light."
    )
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="balanced gives pictures of small classes a higher weight."
    )
    patience: int = Field(6, ge=1, description="Epochs without a lower validation loss after which a phase ends.")
    val_share: float = Field(
        0.15, gt=0, lt=0.5, description="Share of pictures for validation, where the data set has no such split."
    )
    test_share: float = Field(
        0.15, ge=0, lt=0.5, description="Share of pictures for testing, where the data set has no such split."
    )
    groups: str | None = Field(
        None,
        description="What must stay in one split: `folder` for folders below the class, or a regular expression "
        "that is searched in file names.",
    )
    seed: int = Field(0, ge=0, description="Seed of every random choice.")
    precision: Precision = Field("float32", description="Precision of the computation; the mixed ones are for GPUs.")
    distribute: Distribution = Field(
        "none", description="Devices: one, all GPUs of this machine, or all machines of TF_CONFIG."
    )
    cache: Path = Field(Path("runs/.cache"), description="Folder of preprocessed pictures, shared by all runs.")
    checkpoint_steps: int = Field(200, ge=1, description="Steps between two checkpoints within an epoch.")
    workers: int | None = Field(None, ge=0, description="Processes that decode pictures; one per core by default.")

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        if self.backbone != "mobilenet_v2" and self.width != 1.0:
            raise ValueError(f"--width is an option of mobilenet_v2; {self.backbone} has one width: leave it out")
        if self.quick and (self.weights == "none" or self.distribute == "workers"):
            raise ValueError("--quick fits a head on a pre-trained network, on one machine: give weights for it")
        if len({len(self.sizes), len(self.epochs), len(self.rates)} - {0}) > 1:
            raise ValueError("sizes, epochs and rates must have one value per phase: give as many of each")
        if any(side not in SIZES_PX for side in self.sizes):
            raise ValueError(f"sizes must be among {', '.join(map(str, SIZES_PX))} pixels")
        if any(epochs <= 0 for epochs in self.epochs) or any(rate <= 0 for rate in self.rates):
            raise ValueError("epochs and rates must be above 0")
        return self

    @property
    def fits_head(self) -> bool:
        """Whether the head is fitted on features before the phases: workers would each fit a slightly different one."""
        return self.weights != "none" and self.distribute != "workers"

    @property
    def look_px(self) -> int:
        """The picture size inside the served network: that of the last phase."""
        return self._phases[-1].side_px

    @property
    def phases(self) -> tuple[Phase, ...]:
        """In order. With weights for the body: the head first, then the whole network. None in a quick run."""
        return () if self.quick else self._phases

    @property
    def _phases(self) -> tuple[Phase, ...]:
        pretrained = self.weights != "none"
        usual = PRETRAINED_PHASES if pretrained else SCRATCH_PHASES
        given = {"sizes": self.sizes, "epochs": self.epochs, "rates": self.rates}
        count = max(len(values) for values in given.values()) or len(usual["sizes"])
        sizes, epochs, rates = (given[name] or _usual(usual[name], count) for name in given)
        return tuple(
            Phase(
                name=_name(at, side, pretrained=pretrained),
                side_px=side,
                epochs=length,
                rate=rate,
                frozen=pretrained and at == 0,
                norms_learn=not pretrained,
            )
            for at, (side, length, rate) in enumerate(zip(map(int, sizes), epochs, rates, strict=True))
        )


def _with_backbone(recorded: Any) -> Any:
    return {"backbone": "mobilenet_v2"} | recorded if isinstance(recorded, dict) else recorded


RecordedOptions = Annotated[Options, BeforeValidator(_with_backbone)]
"""Options in the record of a run. Records from before there was a choice of backbones do not name it."""


def options(**given: Any) -> Options:
    """The options, checked.

    Raises:
        DataSetError: an option is out of its bounds; the message names it.
    """
    try:
        return Options(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"--{name}: ".replace("_", "-") for name in map(str, first["loc"][:1]))
        raise DataSetError(f"{where}{first['msg'].removeprefix('Value error, ')}.") from error


def moment() -> str:
    """A name for a run: the current time, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")


def _usual(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    """The last `count` of `values`; the first one is repeated where there are too few."""
    return (values[:1] * (count - len(values)) + values)[-count:] if count > len(values) else values[-count:]


def _name(at: int, side_px: int, *, pretrained: bool) -> str:
    if not pretrained:
        return f"{at + 1}: {side_px} px"
    return "1: head" if at == 0 else f"{at + 1}: fine-tuning"
