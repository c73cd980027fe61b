import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.standin import limits
from serving.standin.errors import StatusError
from serving.standin.json.parser import Json, _Reader, members, parse


def fault(body: bytes) -> str:
    with pytest.raises(StatusError) as caught:
        parse(body)
    return caught.value.message.removeprefix("JSON Parse error: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b"  ", "The document is empty. at offset: 2"),
        (b"]", "The document is empty. at offset: 0"),
        (b"hello", "Invalid value. at offset: 0"),
        (b"[nul]", "Invalid value. at offset: 4"),
        (b"[-]", "Invalid value. at offset: 2"),
        (b"[+1]", "Invalid value. at offset: 1"),
        (b"[Infinit]", "Invalid value. at offset: 8"),
        (b"[1,]", "Invalid value. at offset: 3"),
        (b"[1.]", "Miss fraction part in number. at offset: 3"),
        (b"[1e+]", "Miss exponent in number. at offset: 4"),
        (b"[1e309]", "Number too big to be stored in double. at offset: 1"),
        (b"[" + b"9" * 400 + b"]", "Number too big to be stored in double. at offset: 1"),
        (b"[01]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"[1", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"[1\0]", "Missing a comma or ']' after an array element. at offset: 2"),
        (b"{a:1}", "Missing a name for object member. at offset: 1"),
        (b'{"a":1,}', "Missing a name for object member. at offset: 7"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a":1 "b"}', "Missing a comma or '}' after an object member. at offset: 7"),
        (b'{"a":}', "Invalid value. at offset: 5"),
        (b'["a', "Missing a closing quotation mark in string. at offset: 3"),
        (b'["a\nb"]', "Invalid escape character in string. at offset: 3"),
        (b'["\\x"]', "Invalid escape character in string. at offset: 2"),
        (b'["\\u12g4"]', "Incorrect hex digit after \\u escape in string. at offset: 2"),
        (b'["\\ud800"]', "The surrogate pair in string is invalid. at offset: 2"),
        (b'["\\ud800\\u0041"]', "The surrogate pair in string is invalid. at offset: 2"),
    ],
)
def test_a_syntax_error_has_the_words_and_the_offset_of_rapidjson(body: bytes, message: str) -> None:
    assert fault(body) == message


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"\xef\xbb\xbf[1]", [1]),
        (b"[1] and more", [1]),
        (b'{"a":1}{"a":2}', {"a": 1}),
        (b"[1.0]\0", [1.0]),
        (b"[Infinity, -Infinity, Inf, -Inf]", [math.inf, -math.inf, math.inf, -math.inf]),
        (b'{"a":1,"a":2}', {"a": 1}),
        (b'["\\ud83d\\ude00"]', ["\N{GRINNING FACE}"]),
        (b'["caf\xe9"]', ["caf\udce9"]),
        (b'["\\udc00"]', ["\udced\udcb0\udc80"]),
        (b"[18446744073709551615, -9223372036854775808]", [18446744073709551615, -9223372036854775808]),
        (b"[18446744073709551616, -9223372036854775809]", [18446744073709551616.0, -9223372036854775808.0]),
    ],
)
def test_what_other_parsers_refuse_or_read_otherwise_is_read_as_by_rapidjson(body: bytes, value: Json) -> None:
    assert parse(body) == value


def test_nan_is_a_number() -> None:
    assert str(parse(b"[NaN, -NaN]")) == "[nan, nan]"


def test_integers_and_other_numbers_are_told_apart_by_how_they_are_written() -> None:
    assert (
        repr(parse(b"[1, 1.0, 1e2, -0, 18446744073709551616, NaN]"))
        == "[1, 1.0, 100.0, 0, 1.8446744073709552e+19, nan]"
    )


def test_repeated_members_are_all_remembered() -> None:
    value = parse(b'{"a":1,"b":2,"a":3}')
    assert isinstance(value, dict)
    assert list(members(value)) == [("a", 1), ("b", 2), ("a", 3)]


@pytest.mark.parametrize(
    "body", [b'{"i":[{"b64":"x","b64":"y"}]}', b'{"i":{"x":{"a":1,"a":2}}}', b'{"u":"http://x","u":1}']
)
def test_repeated_members_are_noticed_wherever_they_are(body: bytes) -> None:
    assert parse(body) == _Reader(body).document() != json.loads(body)


def test_nesting_is_read_up_to_its_limit() -> None:
    value = parse(b"[" * limits.LEVELS + b"]" * limits.LEVELS)
    for _ in range(limits.LEVELS - 1):
        assert isinstance(value, list)
        [value] = value
    assert value == []


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":', b"[NaN,"])
def test_a_body_of_brackets_ends_at_the_limit_of_nesting(opening: bytes) -> None:
    assert "nested deeper than" in fault(opening * (limits.SLOW_STEPS // 3))


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"NaN," * limits.SLOW_STEPS + b"1]",
        b'{"a":1' + b',"a":1' * (limits.SLOW_STEPS // 2) + b"}",
        b'["' + b"\\n" * limits.SLOW_STEPS + b'\xff"]',
        b'["' + b"\\u0041" * limits.SLOW_STEPS + b'\xff"]',
        b"[NaN" + b",{}" * limits.SLOW_STEPS + b"]",
    ],
)
def test_the_slow_reader_takes_a_limited_number_of_steps(body: bytes) -> None:
    assert fault(body).startswith("not plain JSON (RFC 8259), and more than")


@pytest.mark.parametrize("filler", [b" ", b"1", b"\xff", b"["])
def test_a_long_body_that_is_not_plain_json_is_not_read_at_all(filler: bytes) -> None:
    body = b'["' + filler * (limits.SLOW_BYTES - 2) + b"\xff"
    assert fault(body).startswith("this is not plain JSON (RFC 8259)")


def test_a_picture_in_base64_may_have_a_nan_beside_it() -> None:
    assert parse(b'{"inputs": {"b64": "' + b"QUFB" * 50_000 + b'"}, "other": NaN}')


def test_colons_in_strings_do_not_make_a_body_slow() -> None:
    texts = ["see: this"] * (limits.SLOW_STEPS + 1)
    assert parse(json.dumps({"instances": texts}).encode()) == {"instances": texts}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON_VALUES, st.booleans())
def test_both_ways_of_reading_agree_with_the_standard_library(value: Json, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert parse(body) == _Reader(body).document() == json.loads(body)


@given(st.binary() | st.text(alphabet='[]{}:,"\\u0 1.eE-NaInftrul\n\0').map(str.encode))
def test_no_bytes_cause_anything_but_a_status_error(body: bytes) -> None:
    with suppress(StatusError):
        parse(body)
