import json
import math

import numpy as np
import pytest

from serving.standin.errors import StatusError
from serving.standin.json.results import write_results
from serving.standin.tensors.dtypes import STRING, Tensor, data_type

FLOAT = data_type(1)


def scores(*shape: int) -> Tensor:
    return Tensor(FLOAT, shape, np.full(math.prod(shape), 0.5, np.float32))


def answer(method: str, outputs: dict[str, Tensor], count: int) -> object:
    return json.loads(write_results(method, outputs, count))["results"]


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
