"""A classify or regress request, JSON or message -> serialized tf.Examples.

Source: docs/tensorflow-serving.md, "Classify and regress".
"""

from serving.standin import protowire
from serving.standin.base64_text import decode_base64
from serving.standin.errors import StatusError
from serving.standin.json_text import debug_text
from serving.standin.leaves import is_base64, json_type
from serving.standin.protowire import Fields
from serving.standin.rapid_json import Json, members

_KINDS = {"bytes": 1, "float": 2, "int64": 3}
"""Kind of a feature -> field number of its list in tf.Feature."""

_EXAMPLE_LIST, _EXAMPLE_LIST_WITH_CONTEXT = 1, 2
_EXAMPLES, _CONTEXT = 1, 2


def read_examples(document: dict[str, Json]) -> list[bytes]:
    """Serialized tf.Examples, the context merged into each by standing before it."""
    context = _example(document["context"]) if "context" in document else b""
    if "examples" not in document:
        raise _format_error(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _format_error(document, "'examples' value is an empty array")
    return [context + _example(example) for example in examples]


def read_input(message: Fields) -> list[bytes]:
    """The same of a tensorflow.serving.Input (tensorflow_serving/apis/input.proto)."""
    plain = protowire.read(protowire.last_bytes(message, _EXAMPLE_LIST))
    shared = protowire.read(protowire.last_bytes(message, _EXAMPLE_LIST_WITH_CONTEXT))
    context = protowire.last_bytes(shared, _CONTEXT)
    found = [context + example for example in shared.get(_EXAMPLES, []) if isinstance(example, bytes)]
    return found or [example for example in plain.get(_EXAMPLES, []) if isinstance(example, bytes)]


def _format_error(document: dict[str, Json], what: str) -> StatusError:
    return StatusError.invalid(f"JSON Value: {debug_text(document)} {what}")


def _example(value: Json) -> bytes:
    if not isinstance(value, dict):
        raise StatusError.invalid(f"Example must be JSON object but got JSON {json_type(value)}")
    features = b"".join(_feature_entry(name, content) for name, content in members(value))
    return protowire.write_bytes(1, features)


def _feature_entry(name: str, content: Json) -> bytes:
    feature = _feature(name, content if isinstance(content, list) else [content])
    entry = protowire.write_bytes(1, name.encode("utf-8", "surrogateescape")) + protowire.write_bytes(2, feature)
    return protowire.write_bytes(1, entry)


def _feature(name: str, items: list[Json]) -> bytes:
    """A tf.Feature; without a kind where there are no items."""
    kind = ""
    encoded: list[bytes] = []
    for item in items:
        found, value = _element(name, item)
        if found != (kind := kind or found):
            raise StatusError.invalid(f"Unexpected element type in feature: {name} expecting type: {kind}")
        encoded.append(value)
    return protowire.write_bytes(_KINDS[kind], b"".join(encoded)) if kind else b""


def _element(name: str, item: Json) -> tuple[str, bytes]:
    """Its kind, and the element as it stands in the list of that kind."""
    if isinstance(item, int):
        if item >= 1 << 63:
            raise StatusError.invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64", protowire.write_int(1, item)
    if isinstance(item, float):
        return "float", protowire.write_float(1, item)
    if isinstance(item, str):
        return "bytes", protowire.write_bytes(1, item.encode("utf-8", "surrogateescape"))
    if isinstance(item, dict) and is_base64(item):
        return "bytes", protowire.write_bytes(1, decode_base64(str(item["b64"])))
    raise StatusError.invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(item)}")
