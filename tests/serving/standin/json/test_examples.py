import json
from typing import cast

import pytest

from protocol.tensorflow_serving_pb2 import Example, Feature
from serving.standin.errors import StatusError
from serving.standin.json.examples import read_examples
from serving.standin.json.parser import Json, parse


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


def test_copies_of_a_context_have_a_limit() -> None:
    with pytest.raises(StatusError, match="copies of a context of"):
        read_examples({"context": {"c": "a" * 100_000}, "examples": [{}] * 1000})


def test_many_numbers_are_one_feature_and_a_late_fault_is_found() -> None:
    numbers = cast("list[Json]", list(range(100_000)))
    [example] = read_examples({"examples": [{"i": numbers}]})
    assert features(example) == {b"i": ("int64_list", numbers)}
    with pytest.raises(StatusError, match="Unexpected element type in feature: i expecting type: int64"):
        read_examples({"examples": [{"i": [*numbers, 0.5]}]})


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
