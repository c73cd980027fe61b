"""Convert the JSON of a classify or regress request to serialized tf.Examples."""

from typing import Any, cast

from protocol.tensorflow_serving_pb2 import BytesList, Example, Feature, Features, FloatList, Int64List
from serving.standin import limits
from serving.standin.errors import StatusError
from serving.standin.json.base64 import decode_base64
from serving.standin.json.parser import Json, members
from serving.standin.json.text import debug_text
from serving.standin.json.values import is_base64, json_type
from serving.standin.tensors.examples import with_context


def read_examples(document: dict[str, Json]) -> list[bytes]:
    """Serialized tf.Examples, each with the context in front."""
    context = _example(document["context"]) if "context" in document else b""
    if "examples" not in document:
        raise _format_error(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _format_error(document, "'examples' value is an empty array")
    return with_context(context, [_example(example) for example in examples])


def _format_error(document: dict[str, Json], what: str) -> StatusError:
    return StatusError.invalid(f"JSON Value: {debug_text(document)} {what}")


def _example(value: Json) -> bytes:
    if not isinstance(value, dict):
        raise StatusError.invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    entries = [_entry(name, content) for name, content in members(value)]
    return Example(features=Features(feature=entries)).SerializeToString()


def _entry(name: str, content: Json) -> Features.FeatureEntry:
    items: list[Json] = content if isinstance(content, list) else [content]
    return Features.FeatureEntry(key=_encoded(name), value=_feature(name, items))


def _feature(name: str, items: list[Json]) -> Feature:
    """A feature of the items' common kind, or of none where there are no items."""
    kind, values = _plain_numbers(items) or _elements(name, items)
    match kind:
        case "int64":
            return Feature(int64_list=Int64List(value=values))
        case "float":
            return Feature(float_list=FloatList(value=values))
        case "bytes":
            return Feature(bytes_list=BytesList(value=values))
    return Feature()


def _plain_numbers(items: list[Json]) -> tuple[str, list[Any]] | None:
    """Kind and values where all items are floats, or all are integers of 64 bits. No Python code runs per item."""
    types = set(map(type, items))
    if types == {float}:
        return "float", items
    return ("int64", items) if types == {int} and max(cast("list[int]", items)) < 1 << 63 else None


def _elements(name: str, items: list[Json]) -> tuple[str, list[Any]]:
    kind = ""
    values: list[Any] = []
    for item in items:
        found, value = _element(name, item)
        if found != (kind := kind or found) or len(values) == limits.STRINGS:
            raise StatusError.invalid(f"Unexpected element type in feature: {name} expecting type: {kind}")
        values.append(value)
    return kind, values


def _element(name: str, item: Json) -> tuple[str, int | float | bytes]:
    """Kind and value of one item. A float beyond float32 becomes infinite in the list, as in C++."""
    if isinstance(item, int):
        if item >= 1 << 63:
            raise StatusError.invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64", int(item)
    if isinstance(item, float):
        return "float", item
    if isinstance(item, str):
        return "bytes", _encoded(item)
    if isinstance(item, dict) and is_base64(item):
        return "bytes", decode_base64(str(item["b64"]))
    raise StatusError.invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(item)}")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
