from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from serving.standin import limits
from serving.standin.errors import StatusError
from serving.standin.json.parser import Json
from serving.standin.json.predict_request import Format, parse_object, read_feeds, signature_name
from serving.standin.tensors.dtypes import Tensor, data_type
from serving.standin.tensors.signatures import Dimension, TensorInfo

NUMBERS = {
    "float": 1,
    "double": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "string": 7,
    "int64": 9,
    "bool": 10,
    "half": 19,
    "uint32": 22,
    "uint64": 23,
}


def inputs(**types: str) -> dict[str, TensorInfo]:
    return {name: TensorInfo(f"{name}:0", data_type(NUMBERS[kind]), None) for name, kind in types.items()}


def feeds(body: str, **types: str) -> dict[str, Tensor]:
    return read_feeds(parse_object(body.encode()), inputs(**types))[1]


def values(tensor: Tensor) -> list[Any]:
    return tensor.values if isinstance(tensor.values, list) else tensor.values.tolist()


def fault(body: str, **types: str) -> str:
    with pytest.raises(StatusError) as caught:
        feeds(body, **types)
    return str(caught.value).removeprefix("INVALID_ARGUMENT: ")


@pytest.mark.parametrize(
    ("body", "kind", "shape", "expected"),
    [
        ('{"instances": [1, 2.5]}', "float", (2,), [1.0, 2.5]),
        ('{"instances": [[1, 2], [3, 4]]}', "double", (2, 2), [1, 2, 3, 4]),
        ('{"instances": [{"x": 1}, {"x": 2}]}', "int32", (2,), [1, 2]),
        ('{"instances": [[], []]}', "float", (2, 0), []),
        ('{"instances": [[]]}', "half", (1, 0), []),
        ('{"inputs": 5}', "float", (), [5]),
        ('{"inputs": []}', "float", (0,), []),
        ('{"inputs": {"x": [1], "other": 2}}', "int64", (1,), [1]),
        ('{"inputs": [1e39, -1e39]}', "float", (2,), [np.inf, -np.inf]),
        ('{"inputs": [16777217]}', "float", (1,), [16777216]),
        ('{"inputs": [300, -1]}', "uint8", (2,), [44, 255]),
        ('{"inputs": [70000]}', "int16", (1,), [4464]),
        ('{"inputs": [18446744073709551615]}', "uint64", (1,), [18446744073709551615]),
        ('{"inputs": [true, false]}', "bool", (2,), [True, False]),
        ('{"inputs": ["a", {"b64": "AP8="}]}', "string", (2,), [b"a", b"\x00\xff"]),
        ('{"inputs": {"b64": "AAEC"}}', "string", (), [b"\x00\x01\x02"]),
        ('{"instances": [{"b64": "QQ"}, "B"]}', "string", (2,), [b"A", b"B"]),
        ('{"instances": [{"x": {"b64": "QQ=="}}]}', "string", (1,), [b"A"]),
    ],
)
def test_values_become_tensors_of_the_type_of_the_signature(
    body: str, kind: str, shape: tuple[int, ...], expected: list[Any]
) -> None:
    tensor = feeds(body, x=kind)["x"]
    assert (tensor.shape, values(tensor)) == (shape, expected)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ('{"inputs": [true]}', "float", "JSON Value: true Type: True is not of expected type: float"),
        ('{"inputs": ["1"]}', "float", 'JSON Value: "1" Type: String is not of expected type: float'),
        ('{"inputs": null}', "double", "JSON Value: null Type: Null is not of expected type: double"),
        ('{"inputs": [1.0]}', "int32", "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ('{"inputs": [2147483648]}', "int8", "JSON Value: 2147483648 Type: Number is not of expected type: int8"),
        ('{"inputs": [-1]}', "uint64", "JSON Value: -1 Type: Number is not of expected type: uint64"),
        ('{"inputs": [1]}', "bool", "JSON Value: 1 Type: Number is not of expected type: bool"),
        ('{"inputs": [5]}', "string", "JSON Value: 5 Type: Number is not of expected type: string"),
        (
            '{"inputs": [{"b64": 5}]}',
            "string",
            'JSON Value: {\n    "b64": 5\n} not formatted correctly for base64 data',
        ),
        ('{"inputs": [{"b64": "A-_A"}]}', "string", "Unable to base64 decode"),
        ('{"inputs": [[1, 2], [3]]}', "float", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ('{"inputs": [1, [2]]}', "float", "Encountered list at unexpected level: 1 expected < 1"),
        (
            '{"inputs": [[1], 2]}',
            "float",
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": [1.5]}', "half", "UNIMPLEMENTED: Conversion of JSON Value: 1.5 to type: half"),
        ('{"inputs": {"y": 1}}', "float", "Missing named input: x in 'inputs' object."),
    ],
)
def test_the_first_fault_of_a_column_is_named(body: str, kind: str, message: str) -> None:
    assert fault(body, x=kind) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"instances": [1, "a"]}', "1 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type: String"),
        (
            '{"instances": [[1, 2], [3]]}',
            "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 but",
        ),
        ('{"instances": [[1], 2]}', "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [1] but got: []"),
        (
            '{"instances": [[], [[]]]}',
            "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [0] but got: [1,0]",
        ),
        ('{"instances": [{}]}', "0 of 'instances' list. JSON object: {} keys must be equal to: x"),
        (
            '{"instances": [{"y": 1}]}',
            "0 key: y of 'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have",
        ),
        (
            '{"instances": [{"x": "a"}]}',
            "0 key: x of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"a\" Type:",
        ),
    ],
)
def test_the_fault_of_a_row_says_which_row(body: str, message: str) -> None:
    assert fault(body, x="float").startswith(f"Failed to process element: {message}")


def test_rows_are_all_objects_or_none() -> None:
    assert (
        fault('{"instances": [1, {"x": 2}]}', x="float")
        == "Expecting value/list but got object at item 1 of input list"
    )
    assert fault('{"instances": [{"x": 2}, 1]}', x="float") == "Expecting object but got list at item 1 of input list"


def test_several_inputs_must_be_named() -> None:
    two = {"a": "float", "b": "string"}
    assert fault('{"instances": [1]}', **two).startswith("instances is a plain list, but expecting list of objects")
    assert fault('{"inputs": 1}', **two).startswith("inputs is a plain value/list, but expecting an object")
    assert fault('{"instances": [{"b64": "QQ=="}]}', b="string", c="string").startswith(
        "input size does not match signature: 1!=2"
    )


def test_inputs_of_one_request_may_differ_in_batch_size() -> None:
    both = feeds('{"inputs": {"a": [1, 2], "b": [3]}}', a="float", b="int32")
    assert [both[name].shape for name in "ab"] == [(2,), (1,)]


def test_of_repeated_names_in_an_instance_the_first_fills_the_tensor() -> None:
    assert values(feeds('{"instances": [{"x": 1, "x": 2}]}', x="float")["x"]) == [1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[1]", "JSON Value: [1] Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": 5}', "JSON Value: {\n    \"instances\": 5\n} Expecting 'instances' to be an list/array"),
        ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            '{"instances": 1, "inputs": 2}',
            'JSON Value: {\n    "instances": 1,\n    "inputs": 2\n} Not formatted correctly'
            " expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
    ],
)
def test_the_form_of_a_request_is_checked(body: str, message: str) -> None:
    assert fault(body, x="float") == message


def test_a_signature_is_named_by_a_string_or_not_at_all() -> None:
    assert [signature_name(parse_object(body)) for body in (b"{}", b'{"signature_name": "s"}')] == ["", "s"]
    with pytest.raises(StatusError, match="'signature_name' key must be a string value"):
        signature_name(parse_object(b'{"signature_name": null}'))


def test_more_dimensions_than_a_tensor_can_have_are_an_error_of_their_own() -> None:
    assert len(feeds(f'{{"inputs": {"[" * 254}1{"]" * 254}}}', x="float")["x"].shape) == 254
    assert fault(f'{{"inputs": {"[" * 255}1{"]" * 255}}}', x="float") == "tensor parsing error: x"
    assert fault(f'{{"instances": {"[" * 4000}1{"]" * 4000}}}', x="float") == "tensor parsing error: x"


@pytest.mark.parametrize("last", ['"a"', "[1]", "null", "[]", "{}"])
@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_the_search_for_a_fault_among_many_elements_ends_early(form: str, last: str) -> None:
    numbers = "1," * (2 * limits.SLOW_STEPS)
    assert "too large to be searched for the fault" in fault(f'{{"{form}": [{numbers}{last}]}}', x="float")


def test_the_shape_of_an_input_is_held_where_a_wrong_one_may_end_the_process() -> None:
    shape = (Dimension(-1, ""), Dimension(2, ""))
    held = {"x": TensorInfo("x:0", data_type(NUMBERS["float"]), shape, held=True)}

    def read(body: str) -> tuple[int, ...]:
        return read_feeds(parse_object(body.encode()), held)[1]["x"].shape

    for value in ("[[1, 2], [3, 4]]", '[{"x": [1, 2]}, {"x": [3, 4]}]'):
        assert read(f'{{"instances": {value}}}') == (2, 2)
    assert read('{"inputs": [[1, 2]]}') == read('{"inputs": {"x": [[1, 2]]}}') == (1, 2)
    for value in ("[1]", "[[1]]", "[[[1]]]", "[[]]", '[{"x": 1}]', '[{"x": [1]}]'):
        with pytest.raises(StatusError, match=r"input x: expected shape \[-1, 2\], -1 standing for any size, got"):
            read(f'{{"instances": {value}}}')
    for value in ("1", "[1]", "[[[1]]]", "[]", '{"x": [1]}'):
        with pytest.raises(StatusError, match="input x: expected shape"):
            read(f'{{"inputs": {value}}}')


ARRAYS = hnp.arrays(
    np.dtype(np.float32),
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=0),
    elements=st.floats(width=32, allow_nan=False),
)


@given(ARRAYS)
def test_an_array_arrives_as_it_was_sent(array: "np.ndarray[Any, np.dtype[np.float32]]") -> None:
    nested: Json = array.tolist()
    form, tensors = read_feeds({"inputs": nested}, inputs(x="float"))
    known = array.shape[: array.shape.index(0) + 1] if 0 in array.shape else array.shape  # beyond 0 nothing shows
    assert (form, tensors["x"].shape) == (Format.COLUMN, known)
    assert values(tensors["x"]) == array.ravel().tolist()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", "b64"]), inner, max_size=3),
)
DOCUMENTS = st.dictionaries(st.sampled_from(["instances", "inputs", "signature_name"]), ANYTHING)
SIGNATURES: st.SearchStrategy[Mapping[str, TensorInfo]] = st.sampled_from(
    [inputs(x=kind) for kind in NUMBERS] + [inputs(x="float", y="string")]
)


@given(DOCUMENTS, SIGNATURES)
def test_no_request_causes_anything_but_a_status_error(
    document: dict[str, Json], signature: Mapping[str, TensorInfo]
) -> None:
    with suppress(StatusError):
        _, tensors = read_feeds(document, signature)
        for tensor in tensors.values():
            assert tensor.dtype.numpy is None or len(tensor.values) == np.prod(tensor.shape, dtype=int)
