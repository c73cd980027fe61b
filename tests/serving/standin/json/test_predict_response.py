import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from serving.standin.errors import StatusError
from serving.standin.json.predict_request import Format
from serving.standin.json.predict_response import write_answer
from serving.standin.tensors.dtypes import STRING, Tensor, data_type

FLOAT, INT32, BOOL, HALF = data_type(1), data_type(3), data_type(10), data_type(19)


def floats(*shape: int, start: float = 0) -> Tensor:
    return Tensor(FLOAT, shape, np.arange(math.prod(shape), dtype=np.float32) + np.float32(start))


def row(**outputs: Tensor) -> str:
    return write_answer(outputs, Format.ROW).decode()


def column(**outputs: Tensor) -> str:
    return write_answer(outputs, Format.COLUMN).decode()


def test_a_lone_output_goes_without_its_name() -> None:
    assert row(y=floats(2, 2)) == '{"predictions": [[0.0, 1.0], [2.0, 3.0]]}'
    assert column(y=floats(2, 2)) == '{"outputs": [[0.0, 1.0], [2.0, 3.0]]}'
    assert column(y=floats()) == '{"outputs": 0.0}'


def test_several_outputs_are_named_in_each_row_or_once() -> None:
    outputs = {"a": floats(2), "b": Tensor(BOOL, (2, 1), np.array([True, False]))}
    assert row(**outputs) == '{"predictions": [{"a": 0.0, "b": [true]}, {"a": 1.0, "b": [false]}]}'
    assert column(**outputs) == '{"outputs": {"a": [0.0, 1.0], "b": [[true], [false]]}}'


def test_empty_tensors_keep_the_dimensions_that_show() -> None:
    assert row(y=floats(2, 0, 3)) == '{"predictions": [[], []]}'
    assert row(y=floats(0)) == '{"predictions": []}'
    assert row(a=floats(0), b=floats(0, 3)) == '{"predictions": []}'
    assert column(y=floats(1, 2, 0)) == '{"outputs": [[[], []]]}'


def test_numbers_of_every_kind_are_written_plainly() -> None:
    assert column(y=Tensor(INT32, (2,), np.array([-1, 2], np.int32))) == '{"outputs": [-1, 2]}'
    assert column(y=Tensor(FLOAT, (3,), np.array([np.nan, np.inf, -np.inf], np.float32))) == (
        '{"outputs": [NaN, Infinity, -Infinity]}'
    )


def test_strings_pass_as_they_are_and_bytes_in_base64() -> None:
    assert write_answer({"y": Tensor(STRING, (1,), [b'"\xff'])}, Format.ROW) == b'{"predictions": ["\\"\xff"]}'
    assert row(y_bytes=Tensor(STRING, (1,), [b"a\xff\xfe\x00"])) == '{"predictions": [{"b64": "Yf/+AA=="}]}'


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"y": floats()}, "Tensor name: y has no shape information "),
        ({"a": floats(2), "b": floats(3)}, "Tensor name: b has inconsistent batch size: 3 expecting: 2"),
        ({"y": Tensor(HALF, (1,), np.empty(0))}, "Failed to write JSON value for tensor type: half"),
    ],
)
def test_some_outputs_are_no_rows(outputs: dict[str, Tensor], message: str) -> None:
    with pytest.raises(StatusError) as caught:
        row(**outputs)
    assert caught.value.message == message


def test_a_type_that_json_lacks_does_no_harm_where_there_is_no_element_of_it() -> None:
    assert column(y=Tensor(HALF, (2, 0), np.empty(0))) == '{"outputs": [[], []]}'


def test_there_may_be_more_dimensions_than_numpy_has() -> None:
    deep = column(y=Tensor(FLOAT, (1,) * 254, np.ones(1, np.float32)))
    assert deep == f'{{"outputs": {"[" * 254}1.0{"]" * 254}}}'


@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0)))
def test_an_array_arrives_as_it_was_sent(array: "np.ndarray[Any, np.dtype[np.int64]]") -> None:
    tensor = Tensor(data_type(9), array.shape, array.ravel())
    for form, key in ((Format.ROW, "predictions"), (Format.COLUMN, "outputs")):
        assert json.loads(write_answer({"y": tensor}, form))[key] == array.tolist()
