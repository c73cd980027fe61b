"""The answers to classify and regress, and what they ask of a signature (spec section 6)."""

import math
from collections.abc import Callable, Iterable

from serving.standin.dtypes import Tensor
from serving.standin.errors import Code, StatusError
from serving.standin.json_text import quoted
from serving.standin.numbers import decimals
from serving.standin.signature_text import signature_text
from serving.standin.signatures import Signature

Outputs = dict[str, Tensor]
Write = Callable[[Outputs, int], bytes]
"""From outputs and number of examples to the body of the answer."""


def outputs_and_writer(method: str, signature: Signature) -> tuple[list[str], Write]:
    """Which outputs to fetch for classify or regress, and how to write them.

    Raises StatusError: the signature is of another kind.
    """
    return (_classify(signature), _classifications) if method == "classify" else (_regress(signature), _regressions)


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


def _classifications(outputs: Outputs, count: int) -> bytes:
    """[[label, score], ...] for each example; "" and 0.0 stand in for an output that the signature lacks."""
    classes = {_classes(alias, tensor, count) for alias, tensor in outputs.items()}
    if len(classes) != 1:
        raise StatusError.invalid("Tensors class and score should match in size")
    width = classes.pop()
    labels = _texts(outputs.get("classes"), "string", width * count, '""')
    scores = _texts(outputs.get("scores"), "float", width * count, "0.0")
    pairs = [f"[{label}, {score}]" for label, score in zip(labels, scores, strict=True)]
    return _results(f"[{', '.join(pairs[at * width : (at + 1) * width])}]" for at in range(count))


def _classes(alias: str, tensor: Tensor, count: int) -> int:
    if len(tensor.shape) != 2:
        raise StatusError.invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(tensor)}")
    if tensor.shape[0] != count:
        raise StatusError.invalid(f"Expected {alias} output batch size of {count}. Got: {tensor.shape[0]}")
    return tensor.shape[1]


def _regressions(outputs: Outputs, count: int) -> bytes:
    tensor = outputs["outputs"]
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ((), (1,)):
        raise StatusError.invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape_text(tensor)}"
        )
    if tensor.shape[0] != count:
        raise StatusError.invalid(f"Expected output batch size to be {count}. Got: {tensor.shape[0]}")
    return _results(_texts(tensor, "float", math.prod(tensor.shape), ""))


def _texts(tensor: Tensor | None, kind: str, count: int, otherwise: str) -> list[str]:
    if tensor is None:
        return [otherwise] * count
    if tensor.dtype.text != kind:
        raise StatusError.invalid(f"Expected output Tensor of {kind}. Got: {tensor.dtype.proto_name}")
    if isinstance(tensor.values, list):
        return [quoted(value.decode("utf-8", "surrogateescape")) for value in tensor.values]
    return decimals(tensor.values)


def _shape_text(tensor: Tensor) -> str:
    return f"[{','.join(map(str, tensor.shape))}]"


def _results(items: Iterable[str]) -> bytes:
    return f'{{"results": [{", ".join(items)}]}}'.encode("utf-8", "surrogateescape")
