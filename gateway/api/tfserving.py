"""TensorFlow Serving's own REST API, spread over the replicas: its clients change only the host.

A call is passed on as it came, and the replica's answer comes back as it was. Only the configured model is reachable:
TensorFlow Serving makes metric labels of the names it is asked for, so clients must not choose them.

Source: docs/tensorflow-serving.md, "URLs" and "Monitoring".
"""

from string import ascii_letters, digits, punctuation
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import JSONResponse

from gateway.http.uploads import read_body
from gateway.replicas.versions import Binding
from gateway.services import Services, services_of
from gateway.tfserving import Call

router = APIRouter(tags=["TensorFlow Serving"])

WHICH = {"": None, "/versions/{version:tf_digits}": "version", "/labels/{label:tf_name}": "label"}
"""How a path names the version, and the path parameter that holds it."""
PASSED_ON = ("content-type", "content-encoding")
MAX_INT64 = 2**63 - 1
_VISIBLE = ascii_letters + digits + punctuation


class NameConvertor(Convertor[str]):
    """NAME and LABEL in TensorFlow Serving's paths: no slash, no colon (docs/tensorflow-serving.md, "URLs")."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


class DigitsConvertor(NameConvertor):
    """DIGITS in TensorFlow Serving's paths."""

    regex = "[0-9]+"


Name = Annotated[str, Path(description="The model, GATEWAY_MODEL_NAME.", examples=["my_model"])]

register_url_convertor("tf_name", NameConvertor())
register_url_convertor("tf_digits", DigitsConvertor())


async def predict(name: Name, request: Request) -> Response:
    """Answered by the replica whose turn it is, in TensorFlow Serving's format."""
    services = services_of(request)
    if name != services.settings.model_name:
        return refused(404, f"Servable not found for request: Latest({name})")
    body = await read_body(request, max_bytes=services.settings.max_predict_bytes, advice="send fewer instances")
    return await forward(request, services, body)


async def metadata(name: Name, request: Request) -> Response:
    """Signatures and tensors of the version, from the replica whose turn it is."""
    services = services_of(request)
    if name != services.settings.model_name:
        return refused(404, f"Servable not found for request: Latest({name})")
    return await forward(request, services, b"")


async def status(name: Name, request: Request) -> Response:
    """Versions and their states, from the replica whose turn it is. GET /v1/models shows all replicas."""
    services = services_of(request)
    if name != services.settings.model_name:
        return refused(404, f"Could not find any versions of model {name}")
    return await forward(request, services, b"")


async def forward(request: Request, services: Services, body: bytes) -> Response:
    """Pass the request on to a replica, and its answer back."""
    version = request.path_params.get("version", "").lstrip("0")  # 007 is version 7 there, too
    if len(version) > len(str(MAX_INT64)) or int(version or 0) > MAX_INT64:
        return refused(400, f"Failed to convert version: {request.path_params['version']} to numeric.")
    binding = Binding(version or "0") if "version" in request.path_params else Binding()
    reply = await services.dispatcher.forward(_call(request, body), deadline=services.deadline(), binding=binding)
    media_type = reply.content_type if _is_plain(reply.content_type) else "application/octet-stream"
    return Response(reply.body, reply.status, media_type=media_type)


def _call(request: Request, body: bytes) -> Call:
    """What is passed on. Bytes that HTTP does not allow there, though the parser accepts them, are not."""
    target = request.scope["raw_path"].decode("ascii")
    if query := request.scope["query_string"]:
        target += "?" + quote(query, safe=_VISIBLE)
    headers = {name: value for name, value in request.headers.items() if name in PASSED_ON and _is_plain(value)}
    return Call(request.method, target, headers, body)


def _is_plain(value: str) -> bool:
    """Whether the value of a header can be passed on: HTTP libraries refuse or change other characters."""
    return value.isascii() and value.isprintable()


def refused(status: int, message: str) -> JSONResponse:
    """A refusal of the gateway's own, in the words of the real server."""
    return JSONResponse({"error": message}, status)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    return {
        code: {"description": MEANINGS[code], "content": {"application/json": {"schema": schema}}} for code in statuses
    }


MEANINGS = {
    400: "The replica refuses the request: wrong JSON, shape, signature, version or label.",
    404: "No such model or version is loaded.",
    413: "The body is larger than GATEWAY_MAX_PREDICT_BYTES.",
    429: "Every replica that was asked is busy.",
    500: "The replica failed.",
    501: "The model's types have no JSON form.",
    502: "No replica that was asked gave a usable answer.",
    503: "No replica is available, or the gateway is full; see Retry-After.",
    504: "The deadline passed.",
}

PATH_PARAMETERS = {
    name: {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
    for name, text, schema in (
        ("version", "A loaded version.", {"type": "string", "pattern": "^[0-9]+$", "examples": ["1602685044"]}),
        ("label", "A version label that the replicas are configured with.", {"type": "string", "pattern": "^[^/:]+$"}),
    )
}

_OBJECT = {"type": "object", "additionalProperties": True}


def _json_body(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    media_type = {"schema": {"type": "object", **schema}, **more}
    return {"requestBody": {"required": True, "content": {"application/json": media_type}}}


_SIGNATURE = {"type": "string", "default": "serving_default"}
_EXAMPLES_BODY = _json_body(
    {
        "description": "Features by name, for models that take tf.Example.",
        "properties": {
            "signature_name": _SIGNATURE,
            "context": {"type": "object"},
            "examples": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        },
        "required": ["examples"],
    }
)
_PREDICT_BODY = _json_body(
    {
        "description": "Exactly one of instances (a list, row format) and inputs (column format).",
        "properties": {
            "signature_name": _SIGNATURE,
            "instances": {"type": "array", "minItems": 1, "items": {}},
            "inputs": {},
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
    },
    examples={
        "bytes": {
            "summary": "One picture, 224 x 224 x 3 raw bytes in base64 (cut short here)",
            "value": {"signature_name": "serving_bytes", "instances": [{"b64": "iYuMiYuM..."}]},
        },
    },
)
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer in TensorFlow Serving's format.",
        "content": {"application/json": {"schema": _OBJECT}},
    }
}

for _which, _parameter in WHICH.items():
    _parameters = {"parameters": [PATH_PARAMETERS[_parameter]]} if _parameter else {}
    for _verb, _body in (("predict", _PREDICT_BODY), ("classify", _EXAMPLES_BODY), ("regress", _EXAMPLES_BODY)):
        router.add_api_route(
            f"/v1/models/{{name:tf_name}}{_which}:{_verb}",
            predict,
            methods=["POST"],
            summary=f"TensorFlow Serving's {_verb}",
            openapi_extra=_body | _parameters,
            responses=_ANSWER | _errors(*MEANINGS),
            response_class=Response,
        )
    for _suffix, _route in (("", status), ("/metadata", metadata)):
        router.add_api_route(
            f"/v1/models/{{name:tf_name}}{_which}{_suffix}",
            _route,
            methods=["GET"],
            summary=f"TensorFlow Serving's {_route.__name__}",
            openapi_extra=_parameters,
            responses=_ANSWER | _errors(400, 404, 500, 502, 503, 504),
            response_class=Response,
        )
