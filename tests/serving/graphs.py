"""Tiny SavedModels written field by field, so that tests of the server need no TensorFlow in their own process.

Field numbers: saved_model.proto, meta_graph.proto, graph.proto, node_def.proto, attr_value.proto, tensor.proto
and tensor_shape.proto of TensorFlow.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.wire_format import write_bytes, write_float, write_int

FLOAT, INT32, STRING = 1, 3, 7


def write_saved_model(folder: Path, *, add: float) -> Path:
    """Write a version of the model that the lifecycle tests serve.

    `serving_default` answers x * 0.5 + add, `echo` its strings, and `slow` multiplies matrices of n x n.
    """
    nodes = [
        node("x", "Placeholder", dtype=FLOAT),
        constant("half", 0.5),
        constant("add", float(add)),
        node("scaled", "Mul", "x", "half", T=FLOAT),
        node("y", "AddV2", "scaled", "add", T=FLOAT),
        node("text", "Placeholder", dtype=STRING),
        node("same", "Identity", "text", T=STRING),
        *_slow_nodes(rounds=4),
    ]
    signatures = {
        "serving_default": signature({"x": tensor("x:0", FLOAT)}, {"y": tensor("y:0", FLOAT)}),
        "echo": signature({"text": tensor("text:0", STRING)}, {"text": tensor("same:0", STRING)}),
        "slow": signature({"n": tensor("n:0", INT32)}, {"mean": tensor("mean:0", FLOAT)}),
    }
    return write(folder, nodes, signatures)


def _slow_nodes(rounds: int) -> list[bytes]:
    return [
        node("n", "Placeholder", dtype=INT32),
        node("dims", "Tile", "n", "two_list", T=INT32, Tmultiples=INT32),
        constant("two_list", 2, shape=(1,)),
        constant("small", 0.001),
        node("m0", "Fill", "dims", "small", T=FLOAT, index_type=INT32),
        *(node(f"m{at + 1}", "MatMul", f"m{at}", f"m{at}", T=FLOAT) for at in range(rounds)),
        constant("first_axis", 0, shape=(1,)),
        node("mean", "Mean", f"m{rounds}", "first_axis", T=FLOAT, Tidx=INT32),
    ]


def node(name: str, operation: str, *inputs: str, **types: int) -> bytes:
    """A NodeDef whose attributes are all types."""
    attributes = {attribute: write_int(6, kind) for attribute, kind in types.items()}
    return node_with(name, operation, inputs, attributes)


def constant(name: str, value: float | str, shape: Sequence[int] = ()) -> bytes:
    """A NodeDef of a constant; every element is `value`, whose Python type chooses FLOAT, INT32 or STRING."""
    match value:
        case float():
            kind, content = FLOAT, write_float(5, value)
        case int():
            kind, content = INT32, write_int(7, value)
        case _:
            kind, content = STRING, write_bytes(8, value.encode())
    content = write_int(1, kind) + write_bytes(2, dimensions(shape)) + (b"" if 0 in shape else content)
    return node_with(name, "Const", (), {"dtype": write_int(6, kind), "value": write_bytes(8, content)})


def dimensions(shape: Sequence[int]) -> bytes:
    """A TensorShapeProto; -1 is a dimension of unknown size."""
    return b"".join(write_bytes(2, write_int(1, size)) for size in shape)


def node_with(name: str, operation: str, inputs: Sequence[str], attributes: Mapping[str, bytes]) -> bytes:
    """A NodeDef. `attributes`: name -> serialized AttrValue."""
    fields = [write_bytes(1, name.encode()), write_bytes(2, operation.encode())]
    fields += [write_bytes(3, one.encode()) for one in inputs]
    fields += [write_bytes(5, _entry(key, value)) for key, value in attributes.items()]
    return b"".join(fields)


def _entry(key: str, value: bytes) -> bytes:
    return write_bytes(1, key.encode()) + write_bytes(2, value)


def tensor(name: str, kind: int, shape: Sequence[int] | None = None) -> bytes:
    """A TensorInfo; without `shape` the rank is unknown."""
    of_shape = write_int(3, 1) if shape is None else dimensions(shape)
    return write_bytes(1, name.encode()) + write_int(2, kind) + write_bytes(3, of_shape)


def signature(inputs: Mapping[str, bytes], outputs: Mapping[str, bytes], method: str = "predict") -> bytes:
    """A SignatureDef. `inputs` and `outputs`: alias -> TensorInfo."""
    entries = [write_bytes(1, _entry(*item)) for item in inputs.items()]
    entries += [write_bytes(2, _entry(*item)) for item in outputs.items()]
    return b"".join(entries) + write_bytes(3, f"tensorflow/serving/{method}".encode())


def write(folder: Path, nodes: Sequence[bytes], signatures: Mapping[str, bytes]) -> Path:
    """The SavedModel of these nodes as `folder`/saved_model.pb; returns `folder`."""
    graph = b"".join(write_bytes(1, one) for one in nodes) + write_bytes(4, write_int(1, 1882))
    meta_graph = write_bytes(1, write_bytes(4, b"serve")) + write_bytes(2, graph)
    meta_graph += b"".join(write_bytes(5, _entry(*item)) for item in signatures.items())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(write_int(1, 1) + write_bytes(2, meta_graph))
    return folder
