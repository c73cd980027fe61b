"""Origins as operators write them and as browsers send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.http.origins import is_origin
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://www.example.org", "https://www.example.org"),
        ("https://www.example.org/", "https://www.example.org"),
        ("HTTPS://WWW.Example.org", "https://www.example.org"),
        ("https://www.example.org:443", "https://www.example.org"),
        ("http://www.example.org:80/", "http://www.example.org"),
        ("http://localhost:3000/", "http://localhost:3000"),
        ("http://www.example.org:443", "http://www.example.org:443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://my_shop.local", "http://my_shop.local"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("*", "*"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(written: str, sent: str) -> None:
    assert Settings(upstream="a:1", cors_origins=written).cors_origins == (sent,)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("example.org", "'example.org' has no scheme: write https://example.org"),
        ("localhost:3000", "write https://localhost:3000"),
        ("//example.org", "has no scheme"),
        ("null", "only be allowed with *"),
        ("https://www.example.org/shop", "no path"),
        ("https://*.example.org", "no pattern"),
        ("https://.example.org", "no pattern"),
        ("https://", "is not SCHEME://HOST"),
        ("https://user@example.org", "is not SCHEME://HOST"),
        ("https://example.org?a=b", "is not SCHEME://HOST"),
        ("https://example.org https://two.example", "is not SCHEME://HOST"),
        ("'https://example.org'", "is not SCHEME://HOST"),
        ("https://example.org:99999", "ports are 1 to 65535"),
        ("https://example.org:0", "ports are 1 to 65535"),
        ("http\u017f://example.org", "is not SCHEME://HOST"),
        ("https://example.org:http", "is not SCHEME://HOST"),
        ("https://" + "a." * 200 + "org", "is not SCHEME://HOST"),
        ("https://" + "ü" * 70 + ".example", "is not SCHEME://HOST"),
    ],
)
def test_what_is_no_origin_stops_the_start_with_what_to_write(written: str, hint: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(upstream="a:1", cors_origins=f"https://www.example.org,{written}")
    assert hint in str(refused.value)


@given(st.text(max_size=80) | st.from_regex(r"[a-z]+://[^/]*", fullmatch=True))
def test_what_a_browser_could_not_send_is_no_origin(text: str) -> None:
    if is_origin(text):
        assert text.isascii()
        assert text.isprintable()
        assert text == text.lower()
        assert not set(text) & set(" \"'<>\\/?#@*%") - {"/"}
