"""The thresholds of a gate, from TOML. All names are checked, so that a misspelt threshold is an error."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.errors import JudgementError

DEFAULT = Path(__file__).parent / "default.toml"

Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Absolute(_Strict):
    """For the model alone. None: no threshold."""

    min_pictures: int | None = Field(None, ge=1)
    min_top1: Share | None = None
    min_top5: Share | None = None
    min_macro_precision: Share | None = None
    min_macro_recall: Share | None = None
    min_macro_f1: Share | None = None
    min_class_recall: Share | None = None
    max_ece: Share | None = None
    min_sure: Share | None = None
    max_sure_wrong: Share | None = None
    max_strangers_sure: Share | None = None
    max_overfitting: Share | None = None
    max_robustness_loss: Share | None = None
    max_latency_ms: float | None = Field(None, gt=0)


class Relative(_Strict):
    """Relative to the model that serves, on the same pictures. None: no threshold."""

    max_top1_loss: Share | None = None
    max_worse_share: Share | None = None
    min_agreement: Share | None = None


class Thresholds(_Strict):
    """All thresholds of a gate."""

    absolute: Absolute = Absolute()
    relative: Relative = Relative()


def read_thresholds(file: Path = DEFAULT) -> Thresholds:
    """The thresholds in a TOML file.

    Raises:
        JudgementError: the file cannot be read or is invalid.
    """
    try:
        found = Thresholds.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as cause:
        raise JudgementError(f"{file} cannot be read: {cause.strerror or cause}.") from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise JudgementError(f"{file} is not valid TOML: {cause}.") from cause
    except ValidationError as cause:
        first = cause.errors()[0]
        where = ".".join(map(str, first["loc"]))
        names = ", ".join([*Absolute.model_fields, *Relative.model_fields])
        raise JudgementError(f"{file}, {where}: {first['msg']}. The thresholds are {names}.") from cause
    if found == Thresholds():
        raise JudgementError(f"{file} has no threshold: give at least one.")
    return found
