import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.standin import limits
from serving.standin.errors import StatusError
from serving.standin.json import structure
from serving.standin.json.structure import check_size, count_names


def refusal(body: bytes) -> str:
    with pytest.raises(StatusError) as caught:
        check_size(body)
    return caught.value.message


def repeated(item: bytes, count: int) -> bytes:
    return b'{"inputs": [' + item * count + b"1]}"


@pytest.mark.parametrize(
    ("item", "count", "what"),
    [
        (b"1,", limits.VALUES, "values"),
        (b"[],", limits.CONTAINERS, "lists"),
        (b"{},", limits.NAMES + 1, "objects"),
        (b"[", limits.CONTAINERS, "lists"),
        (b'"",', limits.STRINGS, "strings"),
        (b'"":1,', limits.NAMES + 1, "names"),
    ],
)
def test_more_values_than_a_batch_of_pictures_has_are_refused(item: bytes, count: int, what: str) -> None:
    assert what in refusal(repeated(item, count))
    check_size(repeated(item, count // 2))


@pytest.mark.parametrize("inside", [b"[", b"{", b",", b":", b'\\"', b"\\\\", b'\\\\\\"'])
def test_what_stands_in_a_string_is_not_counted(inside: bytes) -> None:
    check_size(repeated(b'"' + inside * (limits.VALUES // 4) + b'",', 1))


def test_escapes_without_end_are_refused() -> None:
    assert "escapes" in refusal(b'["' + b"\\n" * (limits.VALUES + 1) + b'"]')


@given(
    st.recursive(
        st.integers() | st.text('ab[]{},:"\\\n'),
        lambda inner: st.lists(inner) | st.dictionaries(st.text('a:"\\'), inner),
    )
)
def test_names_are_counted_whatever_strings_hold(value: object) -> None:
    assert count_names(json.dumps(value).encode()) == names(value)


def names(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(names, value.values()))
    return sum(map(names, value)) if isinstance(value, list) else 0


def test_a_string_may_lie_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_PIECE", 3)
    assert count_names(b'{"a:::::": ":::\\":::", "b": ["::::", 1]}') == 2
