import json
import math
from typing import cast

import numpy as np
import pytest

from protocol.tensorflow_serving_pb2 import Example, Feature
from serving.standin.errors import StatusError
from serving.standin.json.classification import wanted_outputs, write_json
from serving.standin.json.examples import read_examples
from serving.standin.json.parser import Json, parse
from serving.standin.tensors.dtypes import STRING, Tensor, data_type
from serving.standin.tensors.signature_text import signature_text
from serving.standin.tensors.signatures import Dimension, Signature, TensorInfo

FLOAT = data_type(1)


def info(name: str) -> TensorInfo:
    return TensorInfo(name, FLOAT, (Dimension(-1, ""), Dimension(0, "d")))


def signature(*outputs: str, inputs: tuple[str, ...] = ("inputs",)) -> Signature:
    return Signature({name: info(f"{name}:0") for name in inputs}, {name: info(f"{name}:0") for name in outputs}, "m")


def scores(*shape: int) -> Tensor:
    return Tensor(FLOAT, shape, np.full(math.prod(shape), 0.5, np.float32))


def answer(method: str, outputs: dict[str, Tensor], count: int) -> object:
    return json.loads(write_json(method, outputs, count))["results"]


def features(example: bytes) -> dict[bytes, tuple[str | None, list[float | bytes]]]:
    """Name -> kind and elements."""
    found = Example.FromString(example).features.feature
    return {entry.key: (entry.value.WhichOneof("kind"), elements(entry.value)) for entry in found}


def elements(feature: Feature) -> list[float | bytes]:
    return [*feature.bytes_list.value, *feature.float_list.value, *feature.int64_list.value]


def test_values_are_put_in_the_list_of_their_kind() -> None:
    [example] = read_examples({"examples": [{"i": [1, True], "f": 0.5, "s": ["a", {"b64": "QQ=="}], "e": []}]})
    assert features(example) == {
        b"i": ("int64_list", [1, 1]),
        b"f": ("float_list", [0.5]),
        b"s": ("bytes_list", [b"a", b"A"]),
        b"e": (None, []),
    }


def test_names_need_not_be_utf_8_and_may_stand_twice() -> None:
    [example] = read_examples(cast("dict[str, Json]", {"examples": [parse(b'{"\xff": 1, "\xff": 2}')]}))
    assert [entry.key for entry in Example.FromString(example).features.feature] == [b"\xff", b"\xff"]


@pytest.mark.parametrize(("literal", "packed"), [(6.0e273, b"\x00\x00\x80\x7f"), (-1e39, b"\x00\x00\x80\xff")])
def test_a_number_beyond_float32_is_infinite(literal: float, packed: bytes) -> None:
    (example,) = read_examples({"examples": [{"a": literal}]})
    assert example.endswith(packed)


def test_a_context_stands_before_every_example() -> None:
    [context] = read_examples({"examples": [{"c": 1}]})
    assert read_examples({"context": {"c": 1}, "examples": [{}, {"x": 2}]})[0] == context + b"\n\x00"


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (5, "Expecting 'examples' value to be an list/array"),
        ([], "'examples' value is an empty array"),
        ([5], "Example must be JSON object but got JSON Number"),
        ([{"x": None}], "Feature: x has element with unexpected JSON type: Null"),
        ([{"x": [[1]]}], "Feature: x has element with unexpected JSON type: Array"),
        ([{"x": {"a": 1}}], "Feature: x has element with unexpected JSON type: Object"),
        ([{"x": [1, 2.0]}], "Unexpected element type in feature: x expecting type: int64"),
        ([{"x": ["a", 1]}], "Unexpected element type in feature: x expecting type: bytes"),
        ([{"x": 1 << 63}], "Feature: x has uint64 element. Only int64 is supported."),
    ],
)
def test_what_is_wrong_with_examples_is_said(examples: object, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        read_examples(json.loads(json.dumps({"examples": examples})))
    assert caught.value.message.endswith(message)


def test_classes_and_scores_come_in_pairs() -> None:
    classes = Tensor(STRING, (1, 2), [b"a", b'"'])
    assert answer("classify", {"classes": classes, "scores": scores(1, 2)}, 1) == [[["a", 0.5], ['"', 0.5]]]
    assert answer("classify", {"classes": classes}, 1) == [[["a", 0.0], ['"', 0.0]]]
    assert answer("classify", {"scores": scores(2, 1)}, 2) == [[["", 0.5]], [["", 0.5]]]


def test_a_regression_is_a_number_for_each_example() -> None:
    assert answer("regress", {"outputs": scores(2)}, 2) == answer("regress", {"outputs": scores(2, 1)}, 2) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("method", "outputs", "message"),
    [
        ("classify", {"scores": scores(2)}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ("classify", {"scores": scores(3, 1)}, "Expected scores output batch size of 2. Got: 3"),
        ("classify", {"classes": scores(2, 1)}, "Expected output Tensor of string. Got: DT_FLOAT"),
        ("regress", {"outputs": scores(2, 2)}, "Expected output Tensor shape to be either [batch_size] or"),
        ("regress", {"outputs": scores(1)}, "Expected output batch size to be 2. Got: 1"),
    ],
)
def test_outputs_of_another_shape_are_no_results(method: str, outputs: dict[str, Tensor], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        answer(method, outputs, 2)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        ("classify", signature("scores", inputs=("a", "b")), "Expected one input Tensor."),
        ("classify", signature(), "Expected one or two output Tensors, found 0"),
        ("classify", signature("scores", inputs=("x",)), "No classification inputs found in SignatureDef: inputs {"),
        ("classify", signature("y"), "Expected classification signature outputs to contain at least one of"),
        ("regress", signature("a", "b"), "Expected one output Tensor."),
        ("regress", signature("outputs", inputs=("x",)), "No regression inputs found in SignatureDef: inputs {"),
        ("regress", signature("scores"), "No regression outputs found in SignatureDef: inputs {"),
    ],
)
def test_signatures_of_another_kind_are_refused(method: str, wrong: Signature, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        wanted_outputs(method, wrong)
    assert caught.value.message.startswith(message)


def test_a_name_in_a_quoted_signature_is_escaped_as_protocol_buffers_do() -> None:
    assert 'key: "\\303\\274\\""' in signature_text(signature('\u00fc"'))


def test_a_signature_is_quoted_as_protocol_buffers_print_it() -> None:
    unknown = Signature({}, {"y": TensorInfo("y:0", STRING, None)}, "")
    assert signature_text(unknown) == (
        'outputs {\n  key: "y"\n  value {\n    name: "y:0"\n    dtype: DT_STRING\n'
        "    tensor_shape {\n      unknown_rank: true\n    }\n  }\n}\n"
    )
    assert '      dim {\n        size: -1\n      }\n      dim {\n        name: "d"\n      }\n' in signature_text(
        signature("y")
    )
