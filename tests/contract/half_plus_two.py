"""A model equal to TensorFlow Serving's `half_plus_two`, which is part of the recorded pairs, in nodes of our own.

Same version, signatures, tensor names, shapes and answers: y = x / 2 + 2, y2 = x / 2 + 3, y3 = x2 / 2 + 3. `x` and `x2`
are features of a tf.Example, `x2` by default 0. Source: saved_model_half_plus_two.py of TensorFlow.
"""

from pathlib import Path

from tests.serving.graphs import FLOAT, STRING, constant, dimensions, node, node_with, signature, tensor, write
from tests.wire_format import write_bytes, write_int

COLUMN = (-1, 1)


def write_half_plus_two(folder: Path) -> Path:
    nodes = [constant("a", 0.5), constant("b", 2.0), constant("c", 3.0), *_parsing(), *_line("y", "x", "b")]
    return write(folder, [*nodes, *_line("y2", "x", "c"), *_line("y3", "x2", "c")], _signatures())


def _parsing() -> list[bytes]:
    """`x` and `x2` from serialized tf.Examples; `x` has no default."""
    inputs = [f"ParseExample/{name}" for name in ("names", "key_x", "key_x2", "no_default", "default_x2")]
    return [
        node("tf_example", "Placeholder", dtype=STRING),
        constant("ParseExample/names", "", shape=(0,)),
        constant("ParseExample/key_x", "x"),
        constant("ParseExample/key_x2", "x2"),
        constant("ParseExample/no_default", 0.0, shape=(0,)),
        constant("ParseExample/default_x2", 0.0, shape=(1,)),
        node_with("ParseExample/ParseExample", "ParseExample", ["tf_example", *inputs], _attributes()),
        node("x", "Identity", "ParseExample/ParseExample", T=FLOAT),
        node("x2", "Identity", "ParseExample/ParseExample:1", T=FLOAT),
    ]


def _attributes() -> dict[str, bytes]:
    """Two dense features of one float each, and no sparse ones."""
    types, shapes = write_int(6, FLOAT) * 2, write_bytes(7, dimensions([1])) * 2
    lists = {"sparse_types": b"", "Tdense": types, "dense_shapes": shapes}
    counts = {"Nsparse": write_int(3, 0), "Ndense": write_int(3, 2)}
    return counts | {name: write_bytes(1, values) for name, values in lists.items()}


def _line(output: str, feature: str, offset: str) -> list[bytes]:
    scaled = f"{output}/scaled"
    return [node(scaled, "Mul", "a", feature, T=FLOAT), node(output, "Add", scaled, offset, T=FLOAT)]


def _signatures() -> dict[str, bytes]:
    examples = {"inputs": tensor("tf_example:0", STRING)}
    x, x2, y, y2, y3 = (tensor(f"{name}:0", FLOAT, COLUMN) for name in ("x", "x2", "y", "y2", "y3"))
    return {
        "serving_default": signature({"x": x}, {"y": y}),
        "classify_x_to_y": signature(examples, {"scores": y}, "classify"),
        "regress_x_to_y": signature(examples, {"outputs": y}, "regress"),
        "regress_x_to_y2": signature(examples, {"outputs": y2}, "regress"),
        "regress_x2_to_y3": signature({"inputs": x2}, {"outputs": y3}, "regress"),
    }
