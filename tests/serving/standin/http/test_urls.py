import pytest

from serving.standin.errors import StatusError
from serving.standin.http.urls import VersionRangeError, parse_call, parse_target
from serving.standin.models.catalog import ModelAddress


@pytest.mark.parametrize(
    ("method", "path", "what", "address"),
    [
        ("POST", "/v1/models/m:predict", "predict", ModelAddress("m")),
        ("POST", "/V1/Models/m/Versions/007:regress", "regress", ModelAddress("m", version=7)),
        ("POST", "/v1/models/m/labels/a%20b:classify", "classify", ModelAddress("m", label="a b")),
        ("GET", "/v1/models/a%2Fb%3Ac", "status", ModelAddress("a/b:c")),
        ("GET", "/v1/models/m/versions/9223372036854775807", "status", ModelAddress("m", version=(1 << 63) - 1)),
        ("GET", "/v1/models/m/metadata", "metadata", ModelAddress("m")),
        ("GET", "/v1/models/m/METADATA", "status", ModelAddress("m")),
        ("GET", "/v1/models/metadata", "status", ModelAddress("metadata")),
        ("GET", "/v1/models/m?x=1", "status", ModelAddress("m?x=1")),
    ],
)
def test_paths_ask_about_a_model(method: str, path: str, what: str, address: ModelAddress) -> None:
    call = parse_call(method, path)
    assert (call.verb, call.address) == (what, address)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/m:PREDICT"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/m:predict?x=1"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m/versions/1/labels/a:predict"),
        ("POST", "/v1/models/m/metadata"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/m/"),
        ("GET", "/v1/models/m/versions/-1"),
        ("GET", "/v1/models/m:predict"),
        ("PUT", "/v1/models/m:predict"),
    ],
)
def test_everything_else_is_malformed(method: str, path: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_call(method, path)
    assert caught.value.message == f"Malformed request: {method} {path}"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/versions/1"])
def test_a_status_needs_a_model(path: str) -> None:
    with pytest.raises(StatusError, match=r"Missing model name in request\."):
        parse_call("GET", path)


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 10_000])
def test_versions_have_64_bits(digits: str) -> None:
    with pytest.raises(VersionRangeError):
        parse_call("GET", f"/v1/models/m/versions/{digits}")


@pytest.mark.parametrize(
    ("text", "matched", "absolute"),
    [
        ("/v1/models/m?a=/?#b", "/v1/models/m?a=/?#b", False),
        ("http://host:80/v1/x", "/v1/x", True),
        ("http://host", "", True),
        ("//v1/models/m", "/models/m", False),
        ("*", "*", False),
    ],
)
def test_targets_are_uris(text: str, matched: str, absolute: bool) -> None:
    target = parse_target(text)
    assert target is not None
    assert (target.matched, target.absolute) == (matched, absolute)


@pytest.mark.parametrize("text", ["/v1/%ZZ", "/v1/a b", "/v1/[", "/v1/\xe9", "1a:b", "/v1/x#y#z"])
def test_what_rfc_3986_forbids_is_no_target(text: str) -> None:
    assert parse_target(text) is None
