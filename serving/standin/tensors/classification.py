"""Classify and regress: check the signature and the outputs (docs/tensorflow-serving.md, "Classify and regress")."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.standin.errors import Code, StatusError
from serving.standin.tensors.dtypes import Tensor
from serving.standin.tensors.signature_text import signature_text
from serving.standin.tensors.signatures import Signature

Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Classes:
    """The result of classify: `width` classes for each example, in order."""

    labels: list[bytes] | None
    """None where the signature has no such output; so is `scores`."""
    scores: NDArray[np.float32] | None
    width: int
    """Number of classes of one example."""


def wanted_outputs(method: str, signature: Signature) -> list[str]:
    """The outputs to fetch for classify or regress.

    Raises:
        StatusError: the signature does not have the inputs and outputs that the method requires.
    """
    return _classify(signature) if method == "classify" else _regress(signature)


def _classify(signature: Signature) -> list[str]:
    if len(signature.inputs) != 1:
        raise StatusError.invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise StatusError.invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise _missing("classification inputs", signature)
    found = [alias for alias in ("classes", "scores") if alias in signature.outputs]
    if not found:
        raise StatusError(
            Code.FAILED_PRECONDITION,
            'Expected classification signature outputs to contain at least one of "classes" or "scores".'
            f" Signature was: {signature_text(signature)}",
        )
    return found


def _regress(signature: Signature) -> list[str]:
    if len(signature.inputs) != 1:
        raise StatusError.invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise StatusError.invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise _missing("regression inputs", signature)
    if "outputs" not in signature.outputs:
        raise _missing("regression outputs", signature)
    return ["outputs"]


def _missing(what: str, signature: Signature) -> StatusError:
    return StatusError(Code.FAILED_PRECONDITION, f"No {what} found in SignatureDef: {signature_text(signature)}")


def classes(outputs: Outputs, count: int) -> Classes:
    """Raises StatusError: an output has a shape or type that classify does not support."""
    widths = {_classes(alias, tensor, count) for alias, tensor in outputs.items()}
    if len(widths) != 1:
        raise StatusError.invalid("Tensors class and score should match in size")
    labels, scores = outputs.get("classes"), outputs.get("scores")
    return Classes(
        None if labels is None else _strings(labels), None if scores is None else _floats(scores), widths.pop()
    )


def regressions(outputs: Outputs, count: int) -> NDArray[np.float32]:
    """One value for each example.

    Raises:
        StatusError: the output has a shape or type that regress does not support.
    """
    tensor = outputs["outputs"]
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ((), (1,)):
        raise StatusError.invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape_text(tensor)}"
        )
    if tensor.shape[0] != count:
        raise StatusError.invalid(f"Expected output batch size to be {count}. Got: {tensor.shape[0]}")
    return _floats(tensor)


def _classes(alias: str, tensor: Tensor, count: int) -> int:
    if len(tensor.shape) != 2:
        raise StatusError.invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(tensor)}")
    if tensor.shape[0] != count:
        raise StatusError.invalid(f"Expected {alias} output batch size of {count}. Got: {tensor.shape[0]}")
    return tensor.shape[1]


def _strings(tensor: Tensor) -> list[bytes]:
    if not isinstance(tensor.values, list):
        raise _wrong_type("string", tensor)
    return tensor.values


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    if isinstance(tensor.values, list) or tensor.dtype.text != "float":
        raise _wrong_type("float", tensor)
    return tensor.values


def _wrong_type(kind: str, tensor: Tensor) -> StatusError:
    return StatusError.invalid(f"Expected output Tensor of {kind}. Got: {tensor.dtype.proto_name}")


def _shape_text(tensor: Tensor) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"
