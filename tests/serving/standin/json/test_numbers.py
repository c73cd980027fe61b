import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.standin.json.numbers import decimals, shortest


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.333333343"),
        (2, "2.0"),
        (9e6, "9e+06"),
        (3e-5, "3e-05"),
        (16777216, "16777216.0"),
        (-0.0, "-0.0"),
        (100000, "100000.0"),
        (1e-45, "1.4013e-45"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
    ],
)
def test_floats_have_six_digits_if_those_read_back_and_nine_otherwise(number: float, text: str) -> None:
    assert decimals(np.array([number], np.float32)) == [text]


def test_doubles_have_six_digits_or_seventeen() -> None:
    assert decimals(np.array([0.1, 1 / 3, 1e300])) == ["0.1", "0.33333333333333331", "1e+300"]


@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_floats_read_back_as_they_were(numbers: list[float]) -> None:
    values = np.array(numbers, np.float32)
    assert np.array_equal(np.array([float(text) for text in decimals(values)]).astype(np.float32), values)


@given(st.lists(st.floats(allow_nan=False)))
def test_doubles_read_back_as_they_were(numbers: list[float]) -> None:
    assert [float(text) for text in decimals(np.array(numbers))] == numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (-2.5, "-2.5"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e30, "1.5e30"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-7, "1.5e-7"),
    ],
)
def test_quoted_numbers_are_as_short_as_rapidjson_makes_them(number: float, text: str) -> None:
    assert shortest(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_quoted_numbers_read_back_as_they_were(number: float) -> None:
    assert float(shortest(number)) == number
