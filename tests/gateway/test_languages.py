"""Which language of display names a caller gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.languages import MOST_RANGES, is_tag, lookup, ranges_of

TAGS = {tag.lower(): tag for tag in ("de", "af", "pt-BR", "zh-Hant", "en")}


@pytest.mark.parametrize(
    ("field", "ranges"),
    [
        ("", []),
        ("de", ["de"]),
        ("de-AT,de;q=0.9,en;q=0.8", ["de-AT", "de", "en"]),
        ("en;q=0.5, de ; Q=1.000 ,af;q=0.7", ["de", "af", "en"]),
        ("de;q=0.5,af;q=0.5", ["de", "af"]),
        ("de;q=0,en", ["en"]),
        ("*", []),
        ("*;q=0.1,de;q=0.05", ["de"]),
        (",, de,,", ["de"]),
        ("de;q=2,af;q=0.1234,en;level=1,x;q,deutsche_sprache,ökologisch,pt", ["pt"]),
        ("a" * 9 + "," + "de-" + "a-" * 20 + "b,en", ["en"]),
    ],
)
def test_ranges_come_in_the_order_of_their_weights_and_malformed_ones_are_ignored(
    field: str, ranges: list[str]
) -> None:
    assert ranges_of(field) == ranges


def test_of_very_many_ranges_only_the_first_are_read() -> None:
    assert ranges_of("de," * 10_000) == ["de"] * MOST_RANGES


@given(st.text(alphabet="de-,;qQ=.01 \t*x", max_size=60))
def test_no_field_is_an_error(field: str) -> None:
    assert all(is_tag(tag) for tag in ranges_of(field))


@pytest.mark.parametrize(
    ("ranges", "tag"),
    [
        (["de"], "de"),
        (["DE-at"], "de"),
        (["pt-br"], "pt-BR"),
        (["pt"], None),  # lookup never lengthens a range
        (["zh-Hant-TW"], "zh-Hant"),
        (["zh-TW"], None),
        (["fr", "af", "de"], "af"),
        (["de-x-dialect"], "de"),
        (["fr"], None),
        ([], None),
    ],
)
def test_a_range_is_shortened_until_a_tag_is_found(ranges: list[str], tag: str | None) -> None:
    assert lookup(ranges, TAGS) == tag


@pytest.mark.parametrize("text", ["de", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske", "de-1996", "es-419"])
def test_what_has_the_form_of_a_language_tag_is_one(text: str) -> None:
    assert is_tag(text)


@pytest.mark.parametrize("text", ["", "d", "de_DE", "de-", "-de", "de--AT", "deutsche sprache", "123", "de\n", "a" * 9])
def test_what_has_not_is_none(text: str) -> None:
    assert not is_tag(text)
