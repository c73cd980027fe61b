"""Signatures of a SavedModel, read from its MetaGraphDef."""

from collections.abc import Mapping
from dataclasses import dataclass

from protocol import tensorflow_serving_pb2 as messages
from serving.standin.tensors.dtypes import DType, data_type


@dataclass(frozen=True)
class Dimension:
    size: int
    """-1 where unknown."""
    name: str


@dataclass(frozen=True)
class TensorInfo:
    name: str
    """Of the tensor in the graph: `serving_default_x:0`."""
    dtype: DType
    shape: tuple[Dimension, ...] | None
    """None where the rank is unknown. Requests are not checked against the shape."""


@dataclass(frozen=True)
class Signature:
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    method_name: str


def read_signatures(graph: messages.MetaGraphDef) -> dict[str, Signature]:
    return {name: _signature(definition) for name, definition in graph.signature_def.items()}


def read_signature_def_map(graph: messages.MetaGraphDef) -> messages.SignatureDefMap:
    """A copy that includes undeclared fields. It lets the MetaGraphDef, which holds the whole graph, be freed."""
    found = messages.SignatureDefMap()
    for name, definition in graph.signature_def.items():
        found.signature_def[name].CopyFrom(definition)
    return found


def _signature(definition: messages.SignatureDef) -> Signature:
    return Signature(
        inputs=_tensor_infos(definition.inputs),
        outputs=_tensor_infos(definition.outputs),
        method_name=definition.method_name,
    )


def _tensor_infos(infos: Mapping[str, messages.TensorInfo]) -> dict[str, TensorInfo]:
    """Sorted by name: a map has no order, and a fixed one makes responses reproducible."""
    return {alias: _tensor_info(info) for alias, info in sorted(infos.items())}


def _tensor_info(info: messages.TensorInfo) -> TensorInfo:
    return TensorInfo(name=info.name, dtype=data_type(info.dtype), shape=_shape(info.tensor_shape))


def _shape(shape: messages.TensorShapeProto) -> tuple[Dimension, ...] | None:
    return None if shape.unknown_rank else tuple(Dimension(dim.size, dim.name) for dim in shape.dim)
