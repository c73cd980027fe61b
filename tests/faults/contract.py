"""What every refusal in the suite must look like: a documented problem, as problem+json."""

import json
from collections.abc import Mapping

from gateway.api.pages import problem_types
from gateway.http.problems import MEDIA_TYPE, TF_SERVING_PATHS

SLUGS = {kind.slug for kind in problem_types()}
FIELDS = {"type", "title", "status", "detail", "request_id"}


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """The type of the refusal, without its path; fails where it is not of the documented form.

    Args:
        headers: by names in small letters.
    """
    assert headers.get("content-type") == MEDIA_TYPE, f"{status} as {headers.get('content-type')}: {body[:200]!r}"
    return problem_in(status, body)


def problem_in(status: int, body: bytes) -> str:
    """The same check without the headers."""
    document = json.loads(body)
    assert set(document) == FIELDS, document
    assert document["status"] == status, document
    slug = str(document["type"]).removeprefix("/problems/")
    assert slug in SLUGS, document
    return slug


def check(status: int, headers: Mapping[str, str], body: bytes, path: str = "") -> None:
    """Any answer; on TensorFlow Serving's paths a refusal has TensorFlow Serving's form.

    Args:
        path: of the request; without one, either form will do.
    """
    if status < 400:
        return
    served = path.startswith(TF_SERVING_PATHS) or (not path and headers.get("content-type") != MEDIA_TYPE)
    if served:
        assert headers.get("content-type", "").startswith("application/json"), headers
        assert set(json.loads(body)) == {"error"}, body[:200]
    else:
        problem_of(status, headers, body)
