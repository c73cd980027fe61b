import math

import pytest

from serving.standin.json.parser import Json, parse
from serving.standin.json.text import debug_text, error_body, quoted


def test_only_what_must_be_is_escaped() -> None:
    assert quoted('a"\\/\b\f\n\r\t\x01\x7f\N{SNOWMAN}') == '"a\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\N{SNOWMAN}"'


def test_an_error_body_lets_bytes_pass_that_are_not_utf8() -> None:
    assert error_body("\udcff?") == b'{\n    "error": "\xff?"\n}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("a", '"a"'),
        (18446744073709551615, "18446744073709551615"),
        ([], "[]"),
        ({}, "{}"),
        ([1, [2.0, []]], "[1, [2.0, []]]"),
        ({"a": 1, "b": {"c": [1.5]}}, '{\n    "a": 1,\n    "b": {\n        "c": [1.5]\n    }\n}'),
        ([{"x": 1}], '[{\n        "x": 1\n    }]'),
    ],
)
def test_values_are_quoted_with_arrays_on_one_line(value: Json, text: str) -> None:
    assert debug_text(value) == text


@pytest.mark.parametrize(
    ("number", "text"), [(1 / 3, "0.333333343"), (1e300, "1e+300"), (1000.0, "1000.0"), (math.nan, "NaN")]
)
def test_a_number_on_its_own_is_quoted_like_one_in_an_answer(number: float, text: str) -> None:
    assert debug_text(number) == text


def test_quoting_breaks_off_at_a_number_that_json_does_not_know() -> None:
    assert debug_text([1, math.nan, 2]) == "[1, "


def test_repeated_members_are_quoted_too() -> None:
    assert debug_text(parse(b'{"a":1,"a":2}')) == '{\n    "a": 1,\n    "a": 2\n}'


def test_long_values_are_cut() -> None:
    assert debug_text(["x" * 1000]) == '["' + "x" * 254 + "..."


def test_depth_is_no_obstacle() -> None:
    assert debug_text(parse(b"[" * 4_000 + b"]" * 4_000)) == "[" * 256 + "..."


def test_only_what_a_quote_shows_of_a_long_string_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    escaped: list[str] = []
    monkeypatch.setattr("serving.standin.json.text._SHORT", Recording(escaped))
    assert debug_text({"\n" * 100_000: "\n" * 100_000}).startswith('{\n    "\\n\\n')
    assert len(escaped) < 1000


class Recording(dict[str, str]):
    def __init__(self, asked: list[str]) -> None:
        super().__init__({"\n": "\\n"})
        self.asked = asked

    def get(self, key: str, default: str | None = None) -> str:  # type: ignore[override]  # one of dict's overloads
        self.asked.append(key)
        return self[key]


def test_an_error_text_is_cut() -> None:
    assert len(error_body("a" * 1_000_000)) < 140_000
