"""Signatures of a SavedModel, read from its serialized MetaGraphDef."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.standin import protowire
from serving.standin.dtypes import DataType, data_type

# Field numbers: tensorflow/core/protobuf/meta_graph.proto, tensorflow/core/framework/tensor_shape.proto
_SIGNATURES = 5
_INPUTS, _OUTPUTS, _METHOD_NAME = 1, 2, 3
_NAME, _DTYPE, _SHAPE = 1, 2, 3
_DIM, _UNKNOWN_RANK = 2, 3
_DIM_SIZE, _DIM_NAME = 1, 2


@dataclass(frozen=True)
class Dimension:
    size: int
    """-1 where unknown."""
    name: str


@dataclass(frozen=True)
class TensorInfo:
    name: str
    """Of the tensor in the graph: `serving_default_x:0`."""
    dtype: DataType
    shape: tuple[Dimension, ...] | None
    """None where the rank is unknown. Never checked (docs/tensorflow-serving.md, "Tensor shapes")."""


@dataclass(frozen=True)
class Signature:
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    method_name: str


def read_signatures(meta_graph: bytes) -> dict[str, Signature]:
    found = protowire.map_items(protowire.read(meta_graph), _SIGNATURES)
    return {name: _signature(protowire.read(message)) for name, message in found.items()}


def read_signature_def_map(meta_graph: bytes) -> bytes:
    """A tensorflow.serving.SignatureDefMap: its one field holds the very entries that the MetaGraphDef has."""
    entries = protowire.read(meta_graph).get(_SIGNATURES, [])
    return b"".join(protowire.write_bytes(1, entry) for entry in entries if isinstance(entry, bytes))


def _signature(fields: protowire.Fields) -> Signature:
    return Signature(
        inputs=_tensor_infos(fields, _INPUTS),
        outputs=_tensor_infos(fields, _OUTPUTS),
        method_name=protowire.text(fields, _METHOD_NAME),
    )


def _tensor_infos(fields: protowire.Fields, number: int) -> dict[str, TensorInfo]:
    """Sorted by name: the map has no order of its own, and a fixed one makes answers repeatable."""
    return {
        alias: _tensor_info(protowire.read(message))
        for alias, message in sorted(protowire.map_items(fields, number).items())
    }


def _tensor_info(fields: protowire.Fields) -> TensorInfo:
    return TensorInfo(
        name=protowire.text(fields, _NAME),
        dtype=data_type(protowire.last_int(fields, _DTYPE)),
        shape=_shape(protowire.read(protowire.last_bytes(fields, _SHAPE))),
    )


def _shape(fields: protowire.Fields) -> tuple[Dimension, ...] | None:
    if protowire.last_int(fields, _UNKNOWN_RANK):
        return None
    return tuple(
        Dimension(protowire.signed(protowire.last_int(dim, _DIM_SIZE)), protowire.text(dim, _DIM_NAME))
        for dim in protowire.messages(fields, _DIM)
    )
