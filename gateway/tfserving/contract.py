"""The model contract, on the caller's side: whether a version may be served, and how it is called.

A model of this project has three signatures (docs/model-contract.md): `serving_default` (floats), `serving_bytes` (raw
uint8 in a string) and `describe`. A foreign model needs one float signature; its labels and its input range come from
the settings. Everything here is pure: metadata in, a verdict out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.answers import Statements
from gateway.errors import ContractError
from gateway.imaging import SIDE_PX
from gateway.labels import Description, LabelMap, Preprocessing, Probabilities

DESCRIBE = "describe"
FAMILIARITY = "familiarity"
BYTES = "serving_bytes"
FLOATS = "serving_default"

Encoding = Literal["bytes", "floats"]
INPUT_RANGES: Mapping[str, tuple[float, float]] = {"0..1": (0, 1), "-1..1": (-1, 1), "0..255": (0, 255)}


@dataclass(frozen=True)
class Tensor:
    """One input or output of a signature, from TensorFlow Serving's metadata."""

    dtype: str
    """As in the protocol: DT_FLOAT, DT_STRING, ..."""
    shape: tuple[int, ...] | None
    """-1: an unknown dimension; None: an unknown rank."""


@dataclass(frozen=True)
class Signature:
    """The tensors of one signature, by name."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True)
class ServedModel:
    """A version that the gateway has accepted, with everything needed to call it and to read its answers."""

    name: str
    version: str
    description: Description
    signature: str
    encoding: Encoding
    input_range: tuple[float, float]
    """Range of a colour channel where the encoding is floats."""
    input: str
    """Name of the one input."""
    output: str
    """Name of the output that holds the probabilities."""
    softmax: bool
    """True: they sum to 1, or to less where the labels are not exhaustive. A foreign model may have sigmoids."""
    familiarity: str = ""
    """Name of the output that says how familiar the picture is; empty: it has none."""
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    """All that the version has, by name: clients of TensorFlow Serving's paths may call the others, too."""
    statements: Statements = field(init=False, compare=False, repr=False)
    """Those that its labels and groups allow."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "statements", Statements(self.description))

    @property
    def labels(self) -> Sequence[str]:
        """Class names, in the order of the output."""
        return self.description.labels


@dataclass(frozen=True)
class Prediction:
    """A version's answer for one picture."""

    model: ServedModel
    probabilities: Probabilities
    familiarity: float | None = None
    """How much the picture resembles what the model was taught, 0..1; None: the model does not say."""


@dataclass(frozen=True)
class Terms:
    """The gateway's side of the contract: what it needs to judge and to complete a model."""

    model_name: str
    fingerprint: str
    """Of the gateway's own preprocessing."""
    foreign_labels: LabelMap | None = None
    """For a model that does not describe itself; None: such models are refused."""
    foreign_range: str = "0..1"
    signature: str = ""
    """The signature to call; empty: the best one that the model has."""


def accept(
    version: str, signatures: Mapping[str, Signature], description: Description | None, terms: Terms
) -> ServedModel:
    """The version as it will be served.

    Args:
        description: the answer of `describe`; None where the model has no such signature.

    Raises:
        ContractError: the version must not be served; the message says why and what to do.
    """
    name = terms.signature or (BYTES if description and BYTES in signatures else FLOATS)
    if name not in signatures:
        raise ContractError(f"it has no signature {name}, only {', '.join(sorted(signatures)) or 'none'}")
    encoding = _encoding(name, signatures[name])
    if encoding == "bytes" and description is None:
        raise ContractError(
            f"{name} takes strings, and nothing says that they are raw pixels; export a float signature"
        )
    output, classes = _output(name, signatures[name])
    described = _own(description, terms) if description else _foreign(classes, terms)
    if classes not in (-1, len(described.labels)):
        raise ContractError(f"it has {len(described.labels)} labels for {classes} outputs")
    input_range = INPUT_RANGES["0..1" if description else terms.foreign_range]
    return ServedModel(
        name=terms.model_name,
        version=version,
        description=described,
        signature=name,
        encoding=encoding,
        input_range=input_range,
        input=next(iter(signatures[name].inputs)),
        output=output,
        softmax=description is not None,
        familiarity=FAMILIARITY if description and _has_familiarity(signatures[name]) else "",
        signatures=signatures,
    )


def _own(description: Description, terms: Terms) -> Description:
    if description.preprocessing.fingerprint != terms.fingerprint:
        raise ContractError(
            f"its training preprocessed pictures differently: {description.preprocessing.fingerprint}, "
            f"this gateway {terms.fingerprint}; train and export it with this version of the code"
        )
    return description


def _foreign(classes: int, terms: Terms) -> Description:
    if terms.foreign_labels is None:
        raise ContractError("it has no signature describe; name its classes with GATEWAY_LABELS_FILE")
    return Description(
        title=terms.model_name,
        summary=f"A model of {classes if classes > 0 else len(terms.foreign_labels.labels)} classes.",
        **terms.foreign_labels.model_dump(),
        preprocessing=Preprocessing(fingerprint=terms.fingerprint),
    )


def _encoding(name: str, signature: Signature) -> Encoding:
    if len(signature.inputs) != 1:
        raise ContractError(f"{name} takes {len(signature.inputs)} inputs: {', '.join(sorted(signature.inputs))}")
    (tensor,) = signature.inputs.values()
    if tensor.dtype == "DT_STRING":
        return "bytes"
    if tensor.dtype != "DT_FLOAT":
        raise ContractError(f"{name} takes {tensor.dtype}; supported are DT_FLOAT, and raw bytes in DT_STRING")
    if tensor.shape is not None and not _fits(tensor.shape):
        raise ContractError(f"{name} takes {list(tensor.shape)}, not [-1, {SIDE_PX}, {SIDE_PX}, 3]")
    return "floats"


def _fits(shape: tuple[int, ...]) -> bool:
    wanted = (1, SIDE_PX, SIDE_PX, 3)
    return len(shape) == 4 and all(size in (-1, want) for size, want in zip(shape, wanted, strict=True))


def _output(name: str, signature: Signature) -> tuple[str, int]:
    """Name and width of the one output that can hold probabilities: floats, one row per picture; -1: unknown."""
    rows = {
        output: tensor.shape[1] if tensor.shape else -1
        for output, tensor in signature.outputs.items()
        if tensor.dtype == "DT_FLOAT" and (tensor.shape is None or len(tensor.shape) == 2)
    }
    if len(rows) != 1:
        raise ContractError(
            f"{name} must have one float output of shape [-1, classes]; it has {', '.join(sorted(rows)) or 'none'}"
        )
    ((output, width),) = rows.items()
    return output, width


def _has_familiarity(signature: Signature) -> bool:
    """Whether it has that output: floats, one per picture."""
    tensor = signature.outputs.get(FAMILIARITY)
    return tensor is not None and tensor.dtype == "DT_FLOAT" and tensor.shape is not None and len(tensor.shape) == 1
