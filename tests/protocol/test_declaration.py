"""The declared messages against the file they are generated from, and against TensorFlow's own declarations."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from protocol import tensorflow_serving_pb2 as declared
from tests.documents import ROOT

FILE = declared.DESCRIPTOR
UPSTREAM = {
    "tensorflow.core.framework.tensor_pb2": ("TensorProto",),
    "tensorflow.core.framework.tensor_shape_pb2": ("TensorShapeProto",),
    "tensorflow.core.protobuf.meta_graph_pb2": ("TensorInfo", "SignatureDef", "MetaGraphDef"),
    "tensorflow.core.protobuf.config_pb2": ("ConfigProto", "RunOptions"),
    "tensorflow.core.example.feature_pb2": ("BytesList", "FloatList", "Int64List", "Feature"),
    "tensorflow.core.example.example_pb2": ("Example",),
}
"""Module of TensorFlow -> the messages that it declares, too."""


def messages(within: Descriptor | None = None) -> Iterator[Descriptor]:
    for message in within.nested_types if within else FILE.message_types_by_name.values():
        yield message
        yield from messages(message)


def test_the_generated_module_is_that_of_the_proto_file() -> None:
    text = re.sub(r"//.*", "", (ROOT / FILE.name).read_text(encoding="utf-8"))
    written = sorted(re.findall(r"(\w+) = (\d+);", text))
    enums = [*FILE.enum_types_by_name.values(), *(enum for message in messages() for enum in message.enum_types)]
    fields = [field for message in messages() if not message.name.endswith("Entry") for field in message.fields]
    fields += declared.Features.FeatureEntry.DESCRIPTOR.fields
    numbers = [(field.name, str(field.number)) for field in fields]
    numbers += [(value.name, str(value.number)) for enum in enums for value in enum.values]
    assert sorted(numbers) == written, "make protocol"


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in UPSTREAM.items() for name in names])
def test_a_message_has_tensorflows_field_numbers_and_types(module: str, name: str) -> None:
    upstream: Any = getattr(import_module(module), name).DESCRIPTOR
    ours = FILE.message_types_by_name[name]
    assert {shape(field) for field in ours.fields} <= {shape(field) for field in upstream.fields}


@pytest.mark.slow
def test_the_element_types_are_tensorflows() -> None:
    types = import_module("tensorflow.core.framework.types_pb2")
    upstream = {name: number for name, number in types.DataType.items() if not name.endswith("_REF")}
    assert dict(declared.DataType.items()) == upstream


def shape(field: Any) -> tuple[object, ...]:
    """What the wire knows of a field, and its name."""
    of = field.message_type or field.enum_type
    return field.name, field.number, field.type, field.is_repeated, of.name if of else None
