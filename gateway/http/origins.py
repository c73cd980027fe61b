"""Web origins: SCHEME://HOST or SCHEME://HOST:PORT in the one form that browsers send (RFC 6454, section 6.1)."""

import re

ALL = "*"
MAX_CHARS = 300
"""A host name has at most 253 (RFC 1035, section 2.3.4)."""

_ORIGIN = re.compile(r"(?ai)([a-z][a-z0-9+.-]*)://([^:/?#@\[\]\s]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?")
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def as_origin(text: str) -> str:
    """`https://WWW.Example.org:443/` -> `https://www.example.org`; `*`, which stands for all, as it is.

    Raises:
        ValueError: it is no origin; the message says what is wrong and what to write.
    """
    if text == ALL:
        return text
    if "://" not in text:
        hint = "; a page without an origin can only be allowed with *" if text == "null" else f": write https://{text}"
        raise ValueError(f"{text!r} has no scheme{hint}")
    parts = _ORIGIN.fullmatch(text)
    host = _host(parts[2]) if parts else ""
    if not parts or not _HOST.fullmatch(host) or len(text) > MAX_CHARS:
        raise ValueError(f"{text!r} is not SCHEME://HOST or SCHEME://HOST:PORT; an origin has no path and no pattern")
    scheme = parts[1].lower()
    if not parts[3] or int(parts[3]) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    if not 1 <= int(parts[3]) <= 65535:
        raise ValueError(f"{text!r} has the port {parts[3]}; ports are 1 to 65535")
    return f"{scheme}://{host}:{int(parts[3])}"


def _host(host: str) -> str:
    """In small letters, and as a browser sends it where it is in another script: `xn--...`."""
    try:
        return host.lower() if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return ""


def is_origin(text: str) -> bool:
    """Whether a browser could have sent it. Such a text is short and holds nothing but small letters and digits."""
    try:
        return as_origin(text) == text != ALL
    except ValueError:
        return False
