"""TensorFlow Serving's own REST API, spread over the replicas: its clients change only the host.

A body is passed on as it came, and the replica's answer comes back as it was. A predict, classify or regress call goes
to a version that the gateway serves, by its number. Only the configured model is reachable: TensorFlow Serving makes
metric labels of the names it is asked for, so clients must not choose them.

Source: docs/tensorflow-serving.md, "URLs" and "Monitoring".
"""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import JSONResponse

from gateway.errors import VersionNotServedError
from gateway.http.uploads import read_body
from gateway.replicas.versions import Binding
from gateway.services import Services, services_of
from gateway.tfserving import Call, Reply
from gateway.tfserving.contract import ServedModel
from gateway.tfserving.inspection import Verb

router = APIRouter(tags=["TensorFlow Serving"])

WHICH = {"": None, "/versions/{version:tf_digits}": "version", "/labels/{label:tf_name}": "label"}
"""How a path names the version, and the path parameter that holds it."""
IDENTITY = "identity"
MAX_INT64 = 2**63 - 1


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
    """Answered by the replica whose turn it is, in TensorFlow Serving's format.

    The body is read as far as its structure and held against the signature before a replica gets it
    (docs/decisions/0040): some bodies end the process of the real server.
    """
    services = services_of(request)
    if name != services.settings.model_name:
        return refused(404, f"Servable not found for request: Latest({name})")
    if request.scope["query_string"]:
        return refused(400, f"Malformed request: POST {request.url.path}")
    if (encoding := request.headers.get("content-encoding", IDENTITY).strip().lower()) != IDENTITY:
        return refused(415, f"The body has the Content-Encoding {encoding[:20]!a}; send it as it is, uncompressed.")
    if (refusal := _unusable(request)) is not None:
        return refusal
    body = await read_body(request, max_bytes=services.settings.max_predict_bytes, advice="send fewer instances")
    document = await services.inspect(_verb_of(request), body)
    call = Call("POST", "", _headers(request), body, document)
    deadline = services.deadline()
    try:
        binding = await _binding(request, services, call, deadline)
        return _passed_on(await services.dispatcher.forward(call, deadline=deadline, binding=binding))
    except VersionNotServedError:
        return _not_served(request)


async def metadata(name: Name, request: Request) -> Response:
    """Signatures and tensors of the version, from the replica whose turn it is."""
    services = services_of(request)
    if name != services.settings.model_name:
        return refused(404, f"Servable not found for request: Latest({name})")
    return await look_up(request, services)


async def status(name: Name, request: Request) -> Response:
    """Versions and their states, from the replica whose turn it is. GET /v1/models shows all replicas."""
    services = services_of(request)
    if name != services.settings.model_name:
        return refused(404, f"Could not find any versions of model {name}")
    return await look_up(request, services)


async def look_up(request: Request, services: Services) -> Response:
    """Pass a GET on to a replica, and its answer back."""
    if (refusal := _unusable(request)) is not None:
        return refusal
    version = _version(request)
    binding = Binding() if version is None else Binding(version)
    call = Call("GET", _target(request), _headers(request), b"")
    return _passed_on(await services.dispatcher.forward(call, deadline=services.deadline(), binding=binding))


def _passed_on(reply: Reply) -> Response:
    """JSON, or the dispatcher would not have accepted it; a browser must not take it for anything else."""
    return Response(reply.body, reply.status, media_type="application/json")


# --- the version --------------------------------------------------------------------------------------------------


def _unusable(request: Request) -> Response | None:
    """The refusal of a version that is no int64, or of a label that a path would not keep."""
    version = _version(request) or ""
    if len(version) > len(str(MAX_INT64)) or int(version or 0) > MAX_INT64:
        return refused(400, f"Failed to convert version: {request.path_params['version']} to numeric.")
    if request.path_params.get("label") in (".", ".."):  # a step in a path, RFC 3986 section 5.2.4
        return refused(400, "A version label cannot be . or ..")
    return None


def _version(request: Request) -> str | None:
    """The number in the path; 007 is version 7 in the real server, too."""
    digits = request.path_params.get("version")
    return None if digits is None else digits.lstrip("0") or "0"


async def _binding(request: Request, services: Services, call: Call, deadline: float) -> Binding:
    """To a version that the body fits.

    Raises:
        PredictBodyError: it fits none that may answer.
        VersionNotServedError: there is no such label.
        GatewayError: no replica could be asked for the label.
    """
    version = _version(request)
    if (label := request.path_params.get("label")) is not None:
        version = await services.versions.labelled(label, deadline=deadline)
    if version is None:
        return _any_fitting(call, services.pool.defaults())
    model = next((found for r in services.pool.replicas if (found := r.model(version))), None)
    if model is not None:
        _any_fitting(call, [model])
    return Binding(version, strict=True)


def _any_fitting(call: Call, models: Sequence[ServedModel]) -> Binding:
    """To no version where the body fits all; otherwise to the first that it fits."""
    refusals = {model.version: refusal for model in models if (refusal := call.misfit(model))}
    fitting = [model.version for model in models if model.version not in refusals]
    if models and not fitting:
        raise refusals[models[0].version]
    return Binding(fitting[0]) if refusals else Binding()


def _not_served(request: Request) -> Response:
    """In the words of the real server."""
    if (label := request.path_params.get("label")) is not None:
        return refused(400, f"Unrecognized servable version label: {label}")
    version = _version(request)
    return refused(404, f"Servable not found for request: Specific({request.path_params['name']}, {version})")


# --- what is passed on ----------------------------------------------------------------------------------------------


def _verb_of(request: Request) -> Verb:
    verb: Verb = request.url.path.rpartition(":")[2]  # type: ignore[assignment]  # the routes have no other
    return verb


def _target(request: Request) -> str:
    """The path anew from its parts, so that a replica reads the same in it as the gateway did."""
    parts = ["v1", "models", request.path_params["name"]]
    for kind in ("version", "label"):
        if (value := request.path_params.get(kind)) is not None:
            parts += [f"{kind}s", value]
    target = "/" + "/".join(quote(part, safe="") for part in parts)
    if request.url.path.endswith("/metadata"):
        target += "/metadata"
    query = request.scope["query_string"]
    return f"{target}?{quote(query, safe='=&')}" if query else target


def _headers(request: Request) -> dict[str, str]:
    """Those that are passed on. Bytes that HTTP does not allow there, though the parser accepts them, are not."""
    content_type = request.headers.get("content-type", "")
    return {"content-type": content_type} if content_type.isascii() and content_type.isprintable() else {}


def refused(status: int, message: str) -> JSONResponse:
    """A refusal of the gateway's own, in the words of the real server."""
    return JSONResponse({"error": message}, status)


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    return {
        code: {"description": MEANINGS[code], "content": {"application/json": {"schema": schema}}} for code in statuses
    }


MEANINGS = {
    400: "Wrong JSON, shape, signature, version or label. The gateway refuses what does not fit the signature.",
    404: "No such model or version is loaded.",
    413: "The body is larger than GATEWAY_MAX_PREDICT_BYTES.",
    415: "The body has a Content-Encoding.",
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
