"""Convert output tensors to the JSON of a predict response (docs/tensorflow-serving.md, "Predict answers").

The white space differs from the real server's.
"""

import base64
import math
from collections.abc import Mapping

from serving.standin.errors import StatusError
from serving.standin.json.numbers import decimals
from serving.standin.json.predict_request import Format
from serving.standin.json.text import quoted
from serving.standin.tensors.dtypes import Tensor

Outputs = Mapping[str, Tensor]


def write_answer(outputs: Outputs, form: Format) -> bytes:
    """Raises StatusError: INVALID_ARGUMENT: the format, or JSON, cannot express the outputs."""
    text = _rows(outputs) if form is Format.ROW else _columns(outputs)
    return text.encode("utf-8", "surrogateescape")


def _columns(outputs: Outputs) -> str:
    whole = {name: _nested(_texts(name, tensor), tensor.shape, 1)[0] for name, tensor in outputs.items()}
    return f'{{"outputs": {_object_or_value(whole)}}}'


def _rows(outputs: Outputs) -> str:
    count = _batch_size(outputs)
    columns = {name: _nested(_texts(name, tensor), tensor.shape[1:], count) for name, tensor in outputs.items()}
    if len(columns) == 1:
        items = next(iter(columns.values()))
    else:
        items = [_object_or_value(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    return f'{{"predictions": [{", ".join(items)}]}}'


def _batch_size(outputs: Outputs) -> int:
    sizes: list[int] = []
    for name, tensor in outputs.items():
        if not tensor.shape:
            raise StatusError.invalid(f"Tensor name: {name} has no shape information ")
        sizes.append(tensor.shape[0])
        if sizes[-1] != sizes[0]:
            raise StatusError.invalid(
                f"Tensor name: {name} has inconsistent batch size: {sizes[-1]} expecting: {sizes[0]}"
            )
    return sizes[0]


def _object_or_value(named: Mapping[str, str]) -> str:
    """A single output is written without its name."""
    if len(named) == 1:
        return next(iter(named.values()))
    return "{" + ", ".join(f"{quoted(name)}: {value}" for name, value in named.items()) + "}"


def _nested(texts: list[str], shape: tuple[int, ...], count: int) -> list[str]:
    """`count` nested lists of `shape`, each of its part of `texts`."""
    for axis in range(len(shape) - 1, -1, -1):
        size, groups = shape[axis], count * math.prod(shape[:axis])
        texts = [f"[{', '.join(texts[at * size : (at + 1) * size])}]" for at in range(groups)]
    return texts


def _texts(name: str, tensor: Tensor) -> list[str]:
    """Each element as JSON. A type that JSON cannot express is an error only where the tensor has elements."""
    if isinstance(tensor.values, list):
        write = _base64_object if name.endswith("_bytes") else _string
        return [write(value) for value in tensor.values]
    if tensor.dtype.numpy is None and 0 not in tensor.shape:
        raise StatusError.invalid(f"Failed to write JSON value for tensor type: {tensor.dtype.text}")
    if tensor.values.dtype.kind == "f":
        return decimals(tensor.values)
    return [str(value).lower() for value in tensor.values.tolist()]


def _string(value: bytes) -> str:
    return quoted(value.decode("utf-8", "surrogateescape"))


def _base64_object(value: bytes) -> str:
    return f'{{"b64": "{base64.b64encode(value).decode()}"}}'
