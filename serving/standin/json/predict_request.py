"""Convert the JSON of a predict request to input tensors.

See docs/tensorflow-serving.md, "Row format" and "Column format".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

from serving.standin import limits
from serving.standin.errors import StatusError
from serving.standin.json.parser import Json, members, parse
from serving.standin.json.text import debug_text
from serving.standin.json.values import Leaves, Shape, is_base64, pack, read_leaves, shape_of
from serving.standin.tensors.dtypes import DType, Tensor
from serving.standin.tensors.signatures import TensorInfo, check_shape
from serving.standin.tensors.tensor_proto import MOST_DIMENSIONS

Inputs = Mapping[str, TensorInfo]


class Format(Enum):
    ROW = "instances"
    COLUMN = "inputs"


def parse_object(body: bytes) -> dict[str, Json]:
    document = parse(body)
    if not isinstance(document, dict):
        raise _format_error(document, "Is not object")
    return document


def signature_name(document: dict[str, Json]) -> str:
    """The name of the signature, or an empty string where the request has none."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _format_error(document, "not formatted correctly. 'signature_name' key must be a string value.")
    return name


def read_feeds(document: dict[str, Json], inputs: Inputs) -> tuple[Format, dict[str, Tensor]]:
    """Format of the request, and tensors by name of the input.

    Raises:
        StatusError: INVALID_ARGUMENT, or UNIMPLEMENTED for column values of a type that JSON cannot express.
    """
    if "instances" in document and "inputs" in document:
        raise _format_error(
            document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        return Format.ROW, _checked(_read_rows(_instances(document), inputs), inputs)
    if "inputs" in document:
        return Format.COLUMN, _checked(_read_columns(document["inputs"], inputs), inputs)
    raise StatusError.invalid("Missing 'inputs' or 'instances' key")


def _instances(document: dict[str, Json]) -> list[Json]:
    instances = document["instances"]
    if not isinstance(instances, list):
        raise _format_error(document, "Expecting 'instances' to be an list/array")
    if not instances:
        raise _format_error(document, "No values in 'instances' array")
    return instances


def _checked(tensors: dict[str, Tensor], inputs: Inputs) -> dict[str, Tensor]:
    if len(tensors) != len(inputs):  # a single b64 object is taken for a value even where inputs must be named
        sent, missing = ",".join(tensors), ",".join(inputs.keys() - tensors.keys())
        raise StatusError.invalid(
            f"input size does not match signature: {len(tensors)}!={len(inputs)} len({{{sent}}}) !="
            f" len({{{','.join(inputs)}}}). Sent extra: {{}}. Missing but required: {{{missing}}}."
        )
    for name, tensor in tensors.items():
        if len(tensor.shape) > MOST_DIMENSIONS:
            raise StatusError.invalid(f"tensor parsing error: {name}")
    return tensors


def _format_error(value: Json, what: str) -> StatusError:
    return StatusError.invalid(f"JSON Value: {debug_text(value)} {what}")


# Column format: the whole batch of each input at once


def _read_columns(value: Json, inputs: Inputs) -> dict[str, Tensor]:
    if isinstance(value, dict) and not is_base64(value):
        return {name: _read_tensor(name, info, _named(value, name)) for name, info in inputs.items()}
    if len(inputs) > 1:
        raise StatusError.invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per"
            " tensorinfo_map"
        )
    return {name: _read_tensor(name, info, value) for name, info in inputs.items()}


def _named(value: dict[str, Json], name: str) -> Json:
    if name not in value:
        raise StatusError.invalid(f"Missing named input: {name} in 'inputs' object.")
    return value[name]


def _read_tensor(name: str, info: TensorInfo, value: Json) -> Tensor:
    check_shape(name, info, shape_of(value))  # before millions of numbers of a wrong shape are converted
    leaves, shape = read_leaves(value, info.dtype)
    return Tensor(info.dtype, shape, pack(leaves, info.dtype))


# Row format: one instance after the other


def _read_rows(instances: list[Json], inputs: Inputs) -> dict[str, Tensor]:
    if len(inputs) > 1 and not isinstance(instances[0], dict):
        raise StatusError.invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per"
            " tensorinfo_map"
        )
    if _names_inputs(instances[0]):
        return _read_named_rows(instances, inputs)
    return _read_plain_rows(instances, *next(iter(inputs.items())))


def _names_inputs(item: Json) -> bool:
    return isinstance(item, dict) and not is_base64(item)


def _read_plain_rows(instances: list[Json], name: str, info: TensorInfo) -> dict[str, Tensor]:
    check_shape(name, info, shape_of(instances))
    try:
        return {name: _read_tensor(name, info, list(instances))}
    except StatusError:  # item by item: find the faulty one, or accept items that are regular by themselves only
        if len(instances) > limits.SLOW_STEPS:
            raise
        return {name: _read_item_by_item(instances, info.dtype)}


def _read_item_by_item(instances: list[Json], dtype: DType) -> Tensor:
    rows = _Rows(dtype)
    for at, item in enumerate(instances):
        if _names_inputs(item):
            raise StatusError.invalid(f"Expecting value/list but got object at item {at} of input list")
        try:
            rows.add(item)
        except StatusError as fault:
            raise StatusError.invalid(f"Failed to process element: {at} of 'instances' list. Error: {fault}") from fault
    return rows.tensor(len(instances))


def _read_named_rows(instances: list[Json], inputs: Inputs) -> dict[str, Tensor]:
    first = cast("dict[str, Json]", instances[0])
    for name in inputs.keys() & first.keys():
        check_shape(name, inputs[name], (len(instances), *shape_of(first[name])))
    rows = {name: _Rows(info.dtype) for name, info in inputs.items()}
    for at, item in enumerate(instances):
        if not _names_inputs(item):
            raise StatusError.invalid(f"Expecting object but got list at item {at} of input list")
        _add_named(rows, cast("dict[str, Json]", item), at)
    return {name: row.tensor(len(instances)) for name, row in rows.items()}


def _add_named(rows: "dict[str, _Rows]", item: dict[str, Json], at: int) -> None:
    for name, value in members(item):
        try:
            if name not in rows:
                raise StatusError.invalid(f"JSON object: does not have named input: {name}")
            rows[name].add(value)
        except StatusError as fault:
            raise StatusError.invalid(
                f"Failed to process element: {at} key: {name} of 'instances' list. Error: {fault}"
            ) from fault
    if item.keys() != rows.keys():
        raise StatusError.invalid(
            f"Failed to process element: {at} of 'instances' list. JSON object: {debug_text(item)}"
            f" keys must be equal to: {','.join(sorted(rows))}"
        )


@dataclass
class _Rows:
    """The values of one input, in the order of the instances. All have the shape of the first."""

    dtype: DType
    leaves: Leaves = field(default_factory=list)
    first: tuple[int, Shape] | None = None

    def add(self, value: Json) -> None:
        leaves, shape = read_leaves(value, self.dtype)
        size, expected = self.first = self.first or (len(leaves), shape)
        if len(leaves) != size:
            raise StatusError.invalid(f"Expecting tensor size: {size} but got: {len(leaves)}")
        if shape != expected:
            raise StatusError.invalid(f"Expecting shape {_shape_text(expected)} but got: {_shape_text(shape)}")
        self.leaves += leaves

    def tensor(self, count: int) -> Tensor:
        """An input named twice in an instance has too many leaves; the real server drops the last ones."""
        size, shape = self.first or (0, ())
        return Tensor(self.dtype, (count, *shape), pack(self.leaves[: count * size], self.dtype))


def _shape_text(shape: Shape) -> str:
    return f"[{','.join(map(str, shape))}]"
