"""Tiny SavedModels written by hand, so that the test process need not import TensorFlow."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.wire_format import write_bytes, write_float, write_int

FLOAT, INT32, STRING = 1, 3, 7

# Field numbers: saved_model.proto, meta_graph.proto, graph.proto, node_def.proto, attr_value.proto, tensor.proto


def write_saved_model(folder: Path, *, add: float) -> Path:
    """Write a version of the model that the lifecycle tests serve.

    `serving_default` answers x * 0.5 + add, `echo` its strings, and `slow` multiplies matrices of n x n.
    """
    nodes = [
        _node("x", "Placeholder", dtype=FLOAT),
        _constant("half", 0.5),
        _constant("add", float(add)),
        _node("scaled", "Mul", "x", "half", T=FLOAT),
        _node("y", "AddV2", "scaled", "add", T=FLOAT),
        _node("text", "Placeholder", dtype=STRING),
        _node("same", "Identity", "text", T=STRING),
        *_slow_nodes(rounds=4),
    ]
    signatures = {
        "serving_default": ({"x": ("x:0", FLOAT)}, {"y": ("y:0", FLOAT)}),
        "echo": ({"text": ("text:0", STRING)}, {"text": ("same:0", STRING)}),
        "slow": ({"n": ("n:0", INT32)}, {"mean": ("mean:0", FLOAT)}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(_saved_model(nodes, signatures))
    return folder


def _slow_nodes(rounds: int) -> list[bytes]:
    return [
        _node("n", "Placeholder", dtype=INT32),
        _node("dims", "Tile", "n", "two_list", T=INT32, Tmultiples=INT32),
        _constant("two_list", 2, shape=(1,)),
        _constant("small", 0.001),
        _node("m0", "Fill", "dims", "small", T=FLOAT, index_type=INT32),
        *(_node(f"m{at + 1}", "MatMul", f"m{at}", f"m{at}", T=FLOAT) for at in range(rounds)),
        _constant("first_axis", 0, shape=(1,)),
        _node("mean", "Mean", f"m{rounds}", "first_axis", T=FLOAT, Tidx=INT32),
    ]


def _node(name: str, operation: str, *inputs: str, **types: int) -> bytes:
    attributes = {attribute: write_int(6, kind) for attribute, kind in types.items()}
    return _node_with(name, operation, inputs, attributes)


def _constant(name: str, value: float, shape: Sequence[int] = ()) -> bytes:
    kind, content = (FLOAT, write_float(5, value)) if isinstance(value, float) else (INT32, write_int(7, value))
    dims = b"".join(write_bytes(2, write_int(1, size)) for size in shape)
    tensor = write_int(1, kind) + write_bytes(2, dims) + content
    return _node_with(name, "Const", (), {"dtype": write_int(6, kind), "value": write_bytes(8, tensor)})


def _node_with(name: str, operation: str, inputs: Sequence[str], attributes: Mapping[str, bytes]) -> bytes:
    fields = [write_bytes(1, name.encode()), write_bytes(2, operation.encode())]
    fields += [write_bytes(3, one.encode()) for one in inputs]
    fields += [write_bytes(5, _entry(key, value)) for key, value in attributes.items()]
    return b"".join(fields)


def _entry(key: str, value: bytes) -> bytes:
    return write_bytes(1, key.encode()) + write_bytes(2, value)


Tensors = Mapping[str, tuple[str, int]]
"""Alias to name of the tensor in the graph and its type."""


def _saved_model(nodes: Sequence[bytes], signatures: Mapping[str, tuple[Tensors, Tensors]]) -> bytes:
    graph = b"".join(write_bytes(1, node) for node in nodes) + write_bytes(4, write_int(1, 1882))
    meta_graph = write_bytes(1, write_bytes(4, b"serve")) + write_bytes(2, graph)
    for name, (inputs, outputs) in signatures.items():
        signature = _tensors(1, inputs) + _tensors(2, outputs) + write_bytes(3, b"tensorflow/serving/predict")
        meta_graph += write_bytes(5, _entry(name, signature))
    return write_int(1, 1) + write_bytes(2, meta_graph)


def _tensors(number: int, tensors: Tensors) -> bytes:
    any_shape = write_bytes(3, write_int(3, 1))
    infos = {
        alias: write_bytes(1, name.encode()) + write_int(2, kind) + any_shape for alias, (name, kind) in tensors.items()
    }
    return b"".join(write_bytes(number, _entry(alias, info)) for alias, info in infos.items())
