"""The parts of the OpenAPI document that the routes' signatures do not give: bodies, examples, every problem."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from gateway.errors import (
    PICTURE_ERRORS,
    DeadlineError,
    DecoderCrashedError,
    DecoderLostError,
    GatewayError,
    HeadTooLargeError,
    MalformedRequestError,
    NoReplicaError,
    RequestQuarantinedError,
    RequestTimeoutError,
    ShuttingDownError,
    TooManyBadKeysError,
    TooManyConnectionsError,
    UnauthorizedError,
    UpstreamError,
    UrlTooLongError,
)
from gateway.http.problems import MEDIA_TYPE, Problem
from gateway.settings import ImageFormat, Settings

PICTURE_PROBLEMS: tuple[type[GatewayError], ...] = (*PICTURE_ERRORS, DecoderCrashedError, DecoderLostError)
CONNECTION_PROBLEMS: tuple[type[GatewayError], ...] = (
    UnauthorizedError,
    TooManyBadKeysError,
    MalformedRequestError,
    RequestTimeoutError,
    UrlTooLongError,
    HeadTooLargeError,
    TooManyConnectionsError,
    ShuttingDownError,
)
REPLICA_PROBLEMS: tuple[type[GatewayError], ...] = (
    UpstreamError,
    NoReplicaError,
    RequestQuarantinedError,
    DeadlineError,
)
MEDIA_TYPES: Mapping[ImageFormat, str] = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "HEIC": "image/heic",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
}

_BINARY = {"type": "string", "format": "binary"}


def one_picture() -> dict[str, Any]:
    """Body of /v1/classify: a form with one file. `add_settings` adds the picture formats that are accepted raw."""
    form = {
        "schema": {
            "type": "object",
            "properties": {"image": {**_BINARY, "description": "The picture."}},
            "required": ["image"],
            "additionalProperties": False,
        }
    }
    return _body({"multipart/form-data": form})


def form_of_pictures() -> dict[str, Any]:
    """Body of /v1/classify/batch: a form with several files of one name."""
    pictures = {"type": "array", "items": _BINARY, "minItems": 1, "description": "The pictures, in order."}
    schema = {
        "type": "object",
        "properties": {"image": pictures},
        "required": ["image"],
        "additionalProperties": False,
    }
    return _body({"multipart/form-data": {"schema": schema}})


def query_of(options: type[BaseModel]) -> dict[str, Any]:
    """The parameters of a query string that is read into `options`."""
    schema = options.model_json_schema()
    required = schema.get("required", ())
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": field.pop("description"),
            "schema": field,
        }
        for name, field in schema["properties"].items()
    ]
    return {"parameters": parameters}


SPOKEN: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Content-Language": {
                "description": "Language of the display names, where the answer has them in one that was asked for.",
                "schema": {"type": "string"},
                "example": "de",
            }
        }
    }
}
"""What `responses` add for an answer whose display names are in the caller's language."""


def in_a_language(query: dict[str, Any]) -> dict[str, Any]:
    """The same parameters and Accept-Language, which is read where the query has no `lang`."""
    header = {
        "name": "Accept-Language",
        "in": "header",
        "required": False,
        "description": "Languages for the display names, with weights (RFC 9110, section 12.5.4). Browsers send it.",
        "schema": {"type": "string"},
        "example": "de-AT, de;q=0.9, en;q=0.5",
    }
    return {"parameters": [*query["parameters"], header]}


def add_settings(document: dict[str, Any], settings: Settings) -> None:
    """Write this gateway's limits, picture formats and need of a key into its OpenAPI document, and PUT beside POST."""
    one, batch = (document["paths"][path]["post"] for path in ("/v1/classify", "/v1/classify/batch"))
    one["description"] += f" At most {settings.max_upload_bytes:,} bytes."
    raw = [*(MEDIA_TYPES[name] for name in settings.image_formats), "application/octet-stream"]
    one["requestBody"]["content"] |= {media_type: {"schema": _BINARY} for media_type in raw}
    batch["description"] += f" At most {settings.max_batch_bytes:,} bytes."
    form = batch["requestBody"]["content"]["multipart/form-data"]["schema"]
    form["properties"]["image"]["maxItems"] = settings.max_batch_images
    by_put = {"summary": f"{one['summary']}, by PUT", "operationId": f"{one['operationId']}_by_put"}
    document["paths"]["/v1/classify"]["put"] = one | by_put
    if settings.api_keys_file:
        bearer = {"type": "http", "scheme": "bearer", "description": "The API key that the operator gave you."}
        document["components"]["securitySchemes"] = {"key": bearer}
        document["security"] = [{"key": []}]


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def problems_of(*errors: type[GatewayError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: each status with an example of every problem that has it."""
    by_status: dict[int, list[type[GatewayError]]] = defaultdict(list)
    every: tuple[type[GatewayError], ...] = (*errors, GatewayError)
    for error in every:
        by_status[error.status].append(error)
    return {status: _response(kinds) for status, kinds in sorted(by_status.items())}


def _response(kinds: list[type[GatewayError]]) -> dict[str, Any]:
    return {
        "description": "; ".join(kind.title for kind in kinds) + ".",
        "content": {
            MEDIA_TYPE: {
                "schema": Problem.model_json_schema(),
                "examples": {kind.slug: {"summary": kind.title, "value": _example(kind)} for kind in kinds},
            }
        },
    }


def _example(kind: type[GatewayError]) -> dict[str, Any]:
    problem = Problem(
        type=f"/problems/{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=kind.advice,
        request_id="9f1c2c0e6b0b4f0c8a52c0ffee000001",
    )
    return problem.model_dump()
