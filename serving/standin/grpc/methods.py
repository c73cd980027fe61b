"""TensorFlow Serving's gRPC methods, from request message to response message (docs/tensorflow-serving.md, "gRPC")."""

from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.any_pb2 import Any
from google.protobuf.wrappers_pb2 import Int64Value

from protocol.tensorflow_serving_pb2 import (
    Class,
    ClassificationRequest,
    ClassificationResponse,
    ClassificationResult,
    Classifications,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    Regression,
    RegressionRequest,
    RegressionResponse,
    RegressionResult,
    StatusProto,
    TensorProto,
)
from serving.standin.errors import Code, StatusError
from serving.standin.models.catalog import Catalog, ModelAddress
from serving.standin.models.manager import VersionManager
from serving.standin.models.servable import DEFAULT_SIGNATURE, Caller, Servable
from serving.standin.models.version_policy import State, Version
from serving.standin.monitoring import Metrics
from serving.standin.tensors import classification
from serving.standin.tensors.dtypes import STRING, Tensor
from serving.standin.tensors.examples import read_input
from serving.standin.tensors.signatures import Signature
from serving.standin.tensors.tensor_proto import read_tensor, write_tensor

_STATES = {
    State.START: ModelVersionStatus.START,
    State.LOADING: ModelVersionStatus.LOADING,
    State.AVAILABLE: ModelVersionStatus.AVAILABLE,
    State.UNLOADING: ModelVersionStatus.UNLOADING,
    State.END: ModelVersionStatus.END,
}
_SIGNATURE_DEF = "signature_def"
_SIGNATURE_DEF_MAP = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


class GrpcApi:
    """Thread-safe."""

    def __init__(self, manager: VersionManager, catalog: Catalog, metrics: Metrics, *, as_content: bool) -> None:
        """`as_content`: --enable_serialization_as_tensor_content, which writes the values of a tensor in one piece."""
        self._manager = manager
        self._catalog = catalog
        self._metrics = metrics
        self._as_content = as_content

    def predict(self, request: PredictRequest, caller: Caller) -> PredictResponse:
        address, name = _model_spec(request)
        with self._counted(address.model, "Predict"), self._catalog.lease(address) as (version, servable):
            signature = _signature(servable, name)
            feeds, wanted = _feeds(request, signature), _wanted(request, signature)
            with self._metrics.runtime(address.model, "Predict"):
                outputs = servable.run(signature, feeds, wanted, caller=caller)
            response = PredictResponse(model_spec=_answered_by(address.model, version, name))
            for alias, tensor in outputs.items():
                write_tensor(tensor, response.outputs[alias], as_content=self._as_content)
        return response

    def classify(self, request: ClassificationRequest, caller: Caller) -> ClassificationResponse:
        outputs, count, spec = self._on_examples("classify", request, caller)
        return ClassificationResponse(result=_classifications(outputs, count), model_spec=spec)

    def regress(self, request: RegressionRequest, caller: Caller) -> RegressionResponse:
        outputs, count, spec = self._on_examples("regress", request, caller)
        return RegressionResponse(result=_regressions(outputs, count), model_spec=spec)

    def _on_examples(
        self, method: str, request: ClassificationRequest | RegressionRequest, caller: Caller
    ) -> tuple[classification.Outputs, int, ModelSpec]:
        """Outputs, number of examples, and the model version that answered."""
        address, name = _model_spec(request)
        api, examples = method.capitalize(), read_input(request.input)
        with self._counted(address.model, api), self._catalog.lease(address) as (version, servable):
            signature = servable.signatures.get(name or DEFAULT_SIGNATURE)
            if signature is None:
                raise StatusError(Code.FAILED_PRECONDITION, f"No signature was found with the name: {name}")
            aliases = classification.wanted_outputs(method, signature)
            if not examples:
                raise StatusError.invalid("Input is empty.")
            feeds = {"inputs": Tensor(STRING, (len(examples),), examples)}
            with self._metrics.runtime(address.model, api):
                outputs = servable.run(signature, feeds, aliases, caller=caller)
        return outputs, len(examples), _answered_by(address.model, version, name)

    def metadata(self, request: GetModelMetadataRequest, _: Caller) -> GetModelMetadataResponse:
        address, _name = _model_spec(request)
        if not request.metadata_field:
            raise StatusError.invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != _SIGNATURE_DEF:
                raise StatusError.invalid(f"Metadata field {field} is not supported")
        with self._catalog.lease(address) as (version, servable):
            packed = Any(type_url=_SIGNATURE_DEF_MAP, value=servable.signature_def_map.SerializeToString())
        spec = ModelSpec(name=address.model, version=Int64Value(value=version))
        return GetModelMetadataResponse(model_spec=spec, metadata={_SIGNATURE_DEF: packed})

    def status(self, request: GetModelStatusRequest, _: Caller) -> GetModelStatusResponse:
        address, _name = _model_spec(request)
        versions = self._manager.described(address)
        return GetModelStatusResponse(model_version_status=[_version_status(version) for version in versions])

    @contextmanager
    def _counted(self, model: str, api: str) -> Iterator[None]:
        with self._metrics.request(model if self._manager.knows(model) else "unknown", api, "GRPC"):
            yield


Request = PredictRequest | ClassificationRequest | RegressionRequest | GetModelMetadataRequest | GetModelStatusRequest


def _model_spec(request: Request) -> tuple[ModelAddress, str]:
    """The model and the name of the signature, which may be empty."""
    if not request.HasField("model_spec"):
        raise StatusError.invalid("Missing ModelSpec")
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return ModelAddress(spec.name, version, spec.version_label or None), spec.signature_name


def _signature(servable: Servable, name: str) -> Signature:
    found = servable.signatures.get(name or DEFAULT_SIGNATURE)
    if found is None:
        raise StatusError(Code.FAILED_PRECONDITION, f'Serving signature key "{name or DEFAULT_SIGNATURE}" not found.')
    return found


def _feeds(request: PredictRequest, signature: Signature) -> dict[str, Tensor]:
    given = request.inputs
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


def _tensor(alias: str, message: TensorProto) -> Tensor:
    try:
        return read_tensor(message)
    except StatusError as cause:
        raise StatusError.invalid(f"tensor parsing error: {alias}") from cause


def _wanted(request: PredictRequest, signature: Signature) -> list[str]:
    """Names of the outputs to return: those of the filter, or all without one."""
    wanted: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            known = ",".join(sorted(signature.outputs))
            raise StatusError.invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set {{{known}}}."
            )
        if alias in wanted:
            raise StatusError.invalid(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted or list(signature.outputs)


def _answered_by(model: str, version: int, signature: str) -> ModelSpec:
    return ModelSpec(name=model, version=Int64Value(value=version), signature_name=signature or DEFAULT_SIGNATURE)


def _classifications(outputs: classification.Outputs, count: int) -> ClassificationResult:
    found = classification.classes(outputs, count)
    labels = [b""] * (found.width * count) if found.labels is None else found.labels
    scores = [0.0] * (found.width * count) if found.scores is None else found.scores.tolist()
    classes = [Class(label=label, score=score) for label, score in zip(labels, scores, strict=True)]
    rows = [classes[at * found.width : (at + 1) * found.width] for at in range(count)]
    return ClassificationResult(classifications=[Classifications(classes=row) for row in rows])


def _regressions(outputs: classification.Outputs, count: int) -> RegressionResult:
    values = classification.regressions(outputs, count).tolist()
    return RegressionResult(regressions=[Regression(value=value) for value in values])


def _version_status(version: Version) -> ModelVersionStatus:
    """The error shows only in state END. While attempts are left, the status is OK."""
    error = version.error if version.state is State.END else None
    status = StatusProto(error_code=error.code, error_message=error.text) if error else StatusProto()
    return ModelVersionStatus(version=version.number, state=_STATES[version.state], status=status)
