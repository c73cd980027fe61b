"""The URL grammar of the REST API (docs/tensorflow-serving.md, "URLs").

As in the real server, the query string and the fragment take part in the match. The grammar ignores case, except that
the verb must be in lower case; `/METADATA` in capitals asks for the status.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from serving.standin.errors import StatusError
from serving.standin.models.catalog import ModelAddress

_MODEL = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){_MODEL}:(?P<verb>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_STATUS = re.compile(rf"/v1/models(?:/(?P<model>[^/:]+))?{_MODEL}(?:/(?P<verb>metadata))?", re.IGNORECASE | re.ASCII)
_GRAMMARS = {"POST": _PREDICTION, "GET": _STATUS}
_LARGEST_VERSION = (1 << 63) - 1

# RFC 3986 as libevent implements it
_UNIT = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]+|%[0-9A-Fa-f]{2})"
_TARGET = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*:)?(?://[^/?#]*)?"
    rf"(?P<path>{_UNIT}*)(?P<rest>(?:\?(?:{_UNIT}|\?)*)?(?:\#(?:{_UNIT}|\?)*)?)"
)


class VersionRangeError(Exception):
    """The version does not fit 64 bits. The real server answers this error alone without a body."""


@dataclass(frozen=True)
class Target:
    path: str
    rest: str
    """Query and fragment."""
    absolute: bool
    """Whether the target has a scheme, as for a proxy. The real server closes the connection after the response."""

    @property
    def matched(self) -> str:
        return self.path + self.rest

    @property
    def is_api(self) -> bool:
        return self.path[:4].lower() == "/v1/"


@dataclass(frozen=True)
class ApiCall:
    verb: str
    """predict, classify, regress, status or metadata."""
    address: ModelAddress


def parse_target(text: str) -> Target | None:
    """None where `text` is not a URI; the response is then 400 in HTML."""
    match = _TARGET.fullmatch(text)
    if match is None or (not match["scheme"] and ":" in match["path"].partition("/")[0]):
        return None
    return Target(match["path"], match["rest"], match["scheme"] is not None)


def parse_call(method: str, path: str) -> ApiCall:
    """The API call that a path under /v1/ stands for.

    Raises:
        StatusError: INVALID_ARGUMENT: the path does not match the grammar.
        VersionRangeError: the version does not fit 64 bits.
    """
    match = _GRAMMARS[method].fullmatch(path) if method in _GRAMMARS else None
    version = _version(match["version"]) if match and match["version"] else None
    if match is None or (method == "POST" and not match["verb"].islower()):
        raise StatusError.invalid(f"Malformed request: {method} {path}")
    if match["model"] is None:
        raise StatusError.invalid("Missing model name in request.")
    verb = match["verb"] or "status"
    label = _decoded(match["label"]) if match["label"] else None
    return ApiCall(verb if verb.islower() else "status", ModelAddress(_decoded(match["model"]), version, label))


def _version(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    if len(significant) > 19 or int(significant) > _LARGEST_VERSION:
        raise VersionRangeError
    return int(significant)


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")
