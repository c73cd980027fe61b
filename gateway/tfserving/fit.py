"""Whether what a body sends fits the signature that it names. Pure.

TensorFlow Serving does not compare shapes with the signature, and a kernel may end the process on a shape that it was
not made for. So nothing of another rank or size than the signature's is forwarded. Messages name only what the model
has; of the client's they name sizes.
"""

from collections.abc import Mapping

from gateway.errors import PredictBodyError
from gateway.tfserving.contract import Signature, Tensor
from gateway.tfserving.inspection import Document, Named, Shape

MAX_RANK = 8
"""Of a tensor in TensorFlow's kernels."""
EXAMPLES = "inputs"
"""The one input of a signature for classify or regress (docs/tensorflow-serving.md, "Classify and regress")."""


def check(document: Document, signatures: Mapping[str, Signature]) -> None:
    """Do nothing if the body fits.

    Args:
        signatures: of the version that is to answer.

    Raises:
        PredictBodyError: it does not; says what was expected and what came.
    """
    signature = signatures.get(document.signature)
    if signature is None or not signature.inputs:
        callable_ones = ", ".join(sorted(name for name, known in signatures.items() if known.inputs))
        raise PredictBodyError(f"signature_name: the model has no such signature with inputs; it has {callable_ones}.")
    if document.verb != "predict":
        _check_examples(document, signature.inputs)
        return
    sent = document.sent if isinstance(document.sent, Mapping) else _only(document.sent, signature.inputs)
    _check_names(sent, signature.inputs, ignores_unknown=document.columns)
    for name, tensor in signature.inputs.items():
        _check_shape(name, sent[name], tensor)


def _only(shape: Shape, inputs: Mapping[str, Tensor]) -> Named:
    if len(inputs) != 1:
        raise PredictBodyError(f"Values came without a name; name each of the inputs {_listed(inputs)} in an object.")
    return dict.fromkeys(inputs, shape)


def _check_names(sent: Named, inputs: Mapping[str, Tensor], *, ignores_unknown: bool) -> None:
    if missing := inputs.keys() - sent.keys():
        raise PredictBodyError(f"Missing: {_listed(missing)}. The inputs of the signature are {_listed(inputs)}.")
    if sent.keys() - inputs.keys() and not ignores_unknown:
        raise PredictBodyError(f"An unknown input came. The inputs of the signature are {_listed(inputs)}.")


def _check_shape(name: str, shape: Shape | None, tensor: Tensor) -> None:
    if shape is None:
        raise PredictBodyError(f'input "{name}": expected {_expected(tensor)}, got lists of different shapes.')
    if not _fits(shape, tensor.shape):
        raise PredictBodyError(f'input "{name}": expected {_expected(tensor)}, got {list(shape)}.')


def _fits(shape: Shape, expected: Shape | None) -> bool:
    if expected is None:
        return len(shape) <= MAX_RANK
    return len(shape) == len(expected) and all(
        size == want or (want == -1 and size > 0) for size, want in zip(shape, expected, strict=True)
    )


def _check_examples(document: Document, inputs: Mapping[str, Tensor]) -> None:
    tensor = inputs.get(EXAMPLES)
    if len(inputs) != 1 or tensor is None or tensor.dtype != "DT_STRING":
        raise PredictBodyError(
            f'{document.verb} needs a signature with the one input "{EXAMPLES}" of DT_STRING; this one has '
            f"{_listed(inputs)}."
        )
    _check_shape(EXAMPLES, document.sent if isinstance(document.sent, tuple) else None, tensor)


def _expected(tensor: Tensor) -> str:
    if tensor.shape is None:
        return f"a shape of at most {MAX_RANK} dimensions"
    unknown = ["n", *["?"] * len(tensor.shape)]
    sizes = (str(size) if size >= 0 else unknown[at] for at, size in enumerate(tensor.shape))
    return f"shape [{', '.join(sizes)}]"


def _listed(names: Mapping[str, Tensor] | set[str]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(names))
