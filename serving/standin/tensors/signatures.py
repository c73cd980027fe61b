"""Signatures of a SavedModel, read from its MetaGraphDef."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from protocol import tensorflow_serving_pb2 as messages
from serving.standin.errors import StatusError
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
    """None where the rank is unknown."""
    held: bool = False
    """Whether requests must have this shape. Otherwise they may have any, as in the real server."""


@dataclass(frozen=True)
class Signature:
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    method_name: str


def read_signatures(graph: messages.MetaGraphDef, *, held: bool = False) -> dict[str, Signature]:
    """`held`: whether requests must have the shapes of the inputs."""
    return {name: _signature(definition, held=held) for name, definition in graph.signature_def.items()}


def may_abort(meta_graph: bytes) -> bool:
    """Whether a wrong shape may end the process: the graph of this serialized MetaGraphDef has a convolution.

    On processors with AVX-512, oneDNN's convolutions abort at an input of a lower rank than their own: seen for Conv2D,
    Conv3D and DepthwiseConv2dNative in TensorFlow 2.18 and 2.21, and for no pooling, normalisation, matrix product,
    recurrence, attention, resizing or embedding.
    """
    return b"Conv" in meta_graph


def check_shape(alias: str, info: TensorInfo, shape: tuple[int, ...]) -> None:
    """Raises StatusError: INVALID_ARGUMENT: the shape of the input `alias` is held, and `shape` is another."""
    if not info.held or info.shape is None:
        return
    sizes = [dimension.size for dimension in info.shape]
    if len(shape) != len(sizes) or any(want not in (-1, size) for want, size in zip(sizes, shape, strict=True)):
        raise StatusError.invalid(f"input {alias}: expected shape {sizes}, -1 standing for any size, got {[*shape]}")


def read_signature_def_map(graph: messages.MetaGraphDef) -> messages.SignatureDefMap:
    """A copy that includes undeclared fields. It lets the MetaGraphDef, which holds the whole graph, be freed."""
    found = messages.SignatureDefMap()
    for name, definition in graph.signature_def.items():
        found.signature_def[name].CopyFrom(definition)
    return found


def _signature(definition: messages.SignatureDef, *, held: bool) -> Signature:
    return Signature(
        inputs={alias: replace(info, held=held) for alias, info in _tensor_infos(definition.inputs).items()},
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
