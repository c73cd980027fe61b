"""TensorFlow Serving's gRPC methods: a request's bytes in, the answer's bytes out.

Field numbers: tensorflow_serving/apis/model.proto, predict.proto, classification.proto, regression.proto,
get_model_metadata.proto, get_model_status.proto.

Source: docs/tensorflow-serving.md, "gRPC".
"""

from collections.abc import Iterator
from contextlib import contextmanager

from serving.standin import protowire, results
from serving.standin.catalogue import Address, Catalogue
from serving.standin.dtypes import STRING, Tensor
from serving.standin.errors import Code, StatusError
from serving.standin.examples import read_input
from serving.standin.keeper import Keeper
from serving.standin.monitoring import Metrics
from serving.standin.protowire import Fields, write_bytes, write_float, write_int
from serving.standin.servable import DEFAULT_SIGNATURE, Servable
from serving.standin.signatures import Signature
from serving.standin.tensor_proto import read_tensor, write_tensor
from serving.standin.version_policy import State, Version

_MODEL_SPEC, _INPUTS, _OUTPUT_FILTER, _METADATA_FIELD = 1, 2, 3, 2
_NAME, _VERSION, _SIGNATURE_NAME, _VERSION_LABEL = 1, 2, 3, 4
_VALUE = 1
_STATES = {State.START: 10, State.LOADING: 20, State.AVAILABLE: 30, State.UNLOADING: 40, State.END: 50}
_SIGNATURE_DEF = "signature_def"
_SIGNATURE_DEF_MAP = b"type.googleapis.com/tensorflow.serving.SignatureDefMap"


class GrpcApi:
    """Called from any thread."""

    def __init__(self, keeper: Keeper, catalogue: Catalogue, metrics: Metrics, *, as_content: bool) -> None:
        """`as_content`: numbers of answers in one piece, --enable_serialization_as_tensor_content."""
        self._keeper = keeper
        self._catalogue = catalogue
        self._metrics = metrics
        self._as_content = as_content

    def predict(self, message: bytes, timeout_ms: int) -> bytes:
        """PredictRequest -> PredictResponse; `timeout_ms` 0: none."""
        request = protowire.read(message)
        address, name = _model_spec(request)
        with self._counted(address.model, "Predict"), self._catalogue.lease(address) as (version, servable):
            signature = _signature(servable, name)
            feeds, wanted = _feeds(request, signature), _wanted(request, signature)
            with self._metrics.runtime(address.model, "Predict"):
                outputs = servable.run(signature, feeds, wanted, timeout_ms=timeout_ms)
            tensors = {alias: write_tensor(tensor, as_content=self._as_content) for alias, tensor in outputs.items()}
        spec = _write_model_spec(address.model, version, name)
        return b"".join(_map_entry(1, *item) for item in tensors.items()) + write_bytes(2, spec)

    def classify(self, message: bytes, timeout_ms: int) -> bytes:
        """ClassificationRequest -> ClassificationResponse."""
        return self._on_examples("classify", message, timeout_ms)

    def regress(self, message: bytes, timeout_ms: int) -> bytes:
        """RegressionRequest -> RegressionResponse."""
        return self._on_examples("regress", message, timeout_ms)

    def _on_examples(self, method: str, message: bytes, timeout_ms: int) -> bytes:
        request = protowire.read(message)
        address, name = _model_spec(request)
        api, examples = method.capitalize(), read_input(protowire.read(protowire.last_bytes(request, _INPUTS)))
        with self._counted(address.model, api), self._catalogue.lease(address) as (version, servable):
            signature = servable.signatures.get(name or DEFAULT_SIGNATURE)
            if signature is None:
                raise StatusError(Code.FAILED_PRECONDITION, f"No signature was found with the name: {name}")
            aliases = results.wanted_outputs(method, signature)
            if not examples:
                raise StatusError.invalid("Input is empty.")
            feeds = {"inputs": Tensor(STRING, (len(examples),), examples)}
            with self._metrics.runtime(address.model, api):
                outputs = servable.run(signature, feeds, aliases, timeout_ms=timeout_ms)
            result = (
                _classifications(outputs, len(examples))
                if method == "classify"
                else _regressions(outputs, len(examples))
            )
        return write_bytes(1, result) + write_bytes(2, _write_model_spec(address.model, version, name))

    def metadata(self, message: bytes, _: int) -> bytes:
        """GetModelMetadataRequest -> GetModelMetadataResponse."""
        request = protowire.read(message)
        address, _name = _model_spec(request)
        fields = [value.decode("utf-8", "replace") for value in _all_bytes(request, _METADATA_FIELD)]
        if not fields:
            raise StatusError.invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in fields:
            if field != _SIGNATURE_DEF:
                raise StatusError.invalid(f"Metadata field {field} is not supported")
        with self._catalogue.lease(address) as (version, servable):
            packed = write_bytes(1, _SIGNATURE_DEF_MAP) + write_bytes(2, servable.signature_def_map)
        return write_bytes(1, _write_model_spec(address.model, version)) + _map_entry(2, _SIGNATURE_DEF, packed)

    def status(self, message: bytes, _: int) -> bytes:
        """GetModelStatusRequest -> GetModelStatusResponse."""
        address, _name = _model_spec(protowire.read(message))
        return b"".join(write_bytes(1, _version_status(version)) for version in self._keeper.described(address))

    @contextmanager
    def _counted(self, model: str, api: str) -> Iterator[None]:
        with self._metrics.request(model if self._keeper.knows(model) else "unknown", api, "GRPC"):
            yield


def _model_spec(request: Fields) -> tuple[Address, str]:
    """Whom it is for, and the signature; empty where none is named."""
    specs = protowire.messages(request, _MODEL_SPEC)
    if not specs:
        raise StatusError.invalid("Missing ModelSpec")
    spec = specs[-1]
    versions = protowire.messages(spec, _VERSION)
    version = protowire.signed(protowire.last_int(versions[-1], _VALUE)) if versions else None
    label = protowire.text(spec, _VERSION_LABEL) or None
    return Address(protowire.text(spec, _NAME), version, label), protowire.text(spec, _SIGNATURE_NAME)


def _signature(servable: Servable, name: str) -> Signature:
    found = servable.signatures.get(name or DEFAULT_SIGNATURE)
    if found is None:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name or DEFAULT_SIGNATURE}" not found.')
    return found


def _feeds(request: Fields, signature: Signature) -> dict[str, Tensor]:
    given = protowire.map_items(request, _INPUTS)
    if len(given) != len(signature.inputs):
        raise _wrong_size(sorted(given), sorted(signature.inputs))
    for alias, info in signature.inputs.items():
        if alias not in given:
            raise StatusError.invalid(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default value"
                f" provided. Inputs expected to be in the request {{{','.join(sorted(given))}}}, or default input alias"
                " set: "
            )
    return {alias: _tensor(alias, given[alias]) for alias in signature.inputs}


def _wrong_size(given: list[str], wanted: list[str]) -> StatusError:
    extra, missing = (",".join(sorted(set(a) - set(b))) for a, b in ((given, wanted), (wanted, given)))
    return StatusError.invalid(
        f"input size does not match signature: {len(given)}!={len(wanted)} len({{{','.join(given)}}}) !="
        f" len({{{','.join(wanted)}}}). Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
    )


def _tensor(alias: str, message: bytes) -> Tensor:
    try:
        return read_tensor(protowire.read(message))
    except StatusError as cause:
        raise StatusError.invalid(f"tensor parsing error: {alias}") from cause


def _wanted(request: Fields, signature: Signature) -> list[str]:
    """Outputs to answer with: those of the filter, all without one."""
    wanted: list[str] = []
    for alias in (value.decode("utf-8", "replace") for value in _all_bytes(request, _OUTPUT_FILTER)):
        if alias not in signature.outputs:
            known = ",".join(sorted(signature.outputs))
            raise StatusError.invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{known}}}."
            )
        if alias in wanted:
            raise StatusError.invalid(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted or list(signature.outputs)


def _all_bytes(request: Fields, number: int) -> list[bytes]:
    return [value for value in request.get(number, []) if isinstance(value, bytes)]


def _write_model_spec(model: str, version: int, signature: str | None = None) -> bytes:
    spec = write_bytes(_NAME, _encoded(model)) + write_bytes(_VERSION, write_int(_VALUE, version))
    named = b"" if signature is None else write_bytes(_SIGNATURE_NAME, _encoded(signature or DEFAULT_SIGNATURE))
    return spec + named


def _map_entry(number: int, key: str, value: bytes) -> bytes:
    return write_bytes(number, write_bytes(1, _encoded(key)) + write_bytes(2, value))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _classifications(outputs: results.Outputs, count: int) -> bytes:
    found = results.classes(outputs, count)
    labels = [b""] * (found.width * count) if found.labels is None else found.labels
    scores = [0.0] * (found.width * count) if found.scores is None else found.scores.tolist()
    classes = [
        (write_bytes(1, label) if label else b"") + write_float(2, score)
        for label, score in zip(labels, scores, strict=True)
    ]
    rows = [classes[at * found.width : (at + 1) * found.width] for at in range(count)]
    return b"".join(write_bytes(1, b"".join(write_bytes(1, one) for one in row)) for row in rows)


def _regressions(outputs: results.Outputs, count: int) -> bytes:
    values = results.regressions(outputs, count).tolist()
    return b"".join(write_bytes(1, write_float(1, value)) for value in values)


def _version_status(version: Version) -> bytes:
    """An error shows at the END: while attempts are left, all counts as well."""
    error = version.error if version.state is State.END else None
    status = write_int(1, error.code) + write_bytes(2, _encoded(error.message)) if error else b""
    return write_int(1, version.number) + write_int(2, _STATES[version.state]) + write_bytes(3, status)
