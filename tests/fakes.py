"""A replica at the wire: TensorFlow Serving's answers, with faults on request."""

import base64
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from gateway.imaging import fingerprint, golden_picture
from gateway.tfserving.contract import INPUT_RANGES
from gateway.tfserving.json import nested_floats

LABELS = ("anemone", "brittle_star", "crab", "sea_urchin")
GOLDEN = (
    base64.b64encode(golden_picture().tobytes()),
    *(nested_floats(golden_picture(), span)[:2000] for span in INPUT_RANGES.values()),
)
"""By which a predict call with the golden picture is known, as bytes and as floats of every range."""
FITTING = {"signature_name": "serving_bytes", "instances": ["a picture"]}
"""The body of a predict call that fits a `FakeModel`."""
Fault = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def answer(status: int, document: Any) -> httpx.Response:
    """As TensorFlow Serving sends it."""
    return httpx.Response(status, content=json.dumps(document), headers={"Content-Type": "application/json"})


def tensor(dtype: str, *shape: int) -> dict[str, Any]:
    """One tensor of a signature, as metadata tells it."""
    dims = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": "x:0"}


@dataclass
class FakeModel:
    """One version. Its probabilities are the same for every picture, so that a wrong label order shows."""

    labels: Sequence[str] = LABELS
    probabilities: Sequence[float] = (0.1, 0.2, 0.6, 0.1)
    fingerprint: str = field(default_factory=fingerprint)
    describes: bool = True
    float_input: str = "image"
    width: int | None = None
    """Of the output as metadata tells it; None: as many as probabilities."""
    familiarity: float | None = None
    """The same for every picture; None: there is no such output."""
    more: dict[str, Any] = field(default_factory=dict)
    """Of the description: display names, groups, names, links."""

    def signatures(self) -> dict[str, Any]:
        output = {"probabilities": tensor("DT_FLOAT", -1, self.width or len(self.probabilities))}
        listed = {
            "serving_default": {"inputs": {self.float_input: tensor("DT_FLOAT", -1, 224, 224, 3)}, "outputs": output}
        }
        listed["examples"] = {"inputs": {"inputs": tensor("DT_STRING", -1)}, "outputs": output}
        if self.describes:
            text = {"text": tensor("DT_STRING", -1)}
            both = output if self.familiarity is None else output | {"familiarity": tensor("DT_FLOAT", -1)}
            listed["serving_bytes"] = {"inputs": {"image": tensor("DT_STRING", -1)}, "outputs": both}
            listed["describe"] = {"inputs": {"ignored": tensor("DT_STRING", -1)}, "outputs": text}
        return listed

    def row(self) -> object:
        """The answer for one picture."""
        if self.familiarity is None:
            return list(self.probabilities)
        return {"probabilities": list(self.probabilities), "familiarity": self.familiarity}

    def description(self) -> str:
        facts = {"title": "Fake", "labels": self.labels, "preprocessing": {"fingerprint": self.fingerprint}}
        return json.dumps(facts | self.more)


@dataclass
class FakeReplica:
    """One model server that the gateway reaches at `address`."""

    address: str
    versions: dict[int, FakeModel] = field(default_factory=lambda: {1: FakeModel()})
    states: dict[int, str] = field(default_factory=dict)
    """Where a version is not AVAILABLE."""
    errors: dict[int, str] = field(default_factory=dict)
    """Why a version could not be loaded."""
    labels: dict[str, int] = field(default_factory=lambda: {"stable": 1})
    """Version labels, as the server's configuration gives them."""
    label_fault: Fault | None = None
    """The answer to every call for a version label."""
    faults: deque[Fault] = field(default_factory=deque)
    """Each is the answer to one predict call; afterwards the replica is well again."""
    sick: Fault | None = None
    """The answer to every predict call, the golden picture's too."""
    reachable: bool = True
    predictions: int = 0
    seen: list[httpx.Request] = field(default_factory=list)
    """Every call, probes left out."""
    golden: int = 0
    """Calls with the golden picture."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.reachable:
            raise httpx.ConnectError("refused", request=request)
        path = request.url.path
        if path == "/v1/models/my_model":
            return self._status()
        if "/labels/" in path:
            if self.label_fault is not None:
                return _faulty(self.label_fault, request)
            label = path.split("/labels/")[1].split("/")[0].split(":")[0]
            if label not in self.labels:
                return answer(400, {"error": f"Unrecognized servable version label: {label}"})
            path = path.replace(f"/labels/{label}", f"/versions/{self.labels[label]}")
        version = (
            int(path.split("/versions/")[1].split(":")[0].split("/")[0]) if "/versions/" in path else max(self.versions)
        )
        if version not in self.versions or request.url.query:
            return answer(404, {"error": f"Servable not found for request: Specific(my_model, {version})"})
        if path.endswith("/metadata"):
            listed = {"signature_def": self.versions[version].signatures()}
            spec = {"name": "my_model", "signature_name": "", "version": str(version)}
            return answer(200, {"model_spec": spec, "metadata": {"signature_def": listed}})
        return self._predict(request, self.versions[version])

    def _status(self) -> httpx.Response:
        told = [
            {"version": str(version), "state": self.states.get(version, "AVAILABLE"), "status": self._outcome(version)}
            for version in sorted({*self.versions, *self.states}, reverse=True)
        ]
        return answer(200, {"model_version_status": told})

    def _outcome(self, version: int) -> dict[str, str]:
        message = self.errors.get(version, "")
        return {"error_code": "NOT_FOUND" if message else "OK", "error_message": message}

    def _predict(self, request: httpx.Request, model: FakeModel) -> httpx.Response:
        try:
            body = json.loads(request.content)
            count = len(body["examples" if "examples" in body else "instances"])
        except (ValueError, KeyError, TypeError):
            return answer(400, {"error": "Missing 'inputs' or 'instances' key"})
        if body.get("signature_name") == "describe":
            return answer(200, {"predictions": [model.description()]})
        golden = is_golden(request.content)
        if golden:
            self.golden += 1
        else:
            self.seen.append(request)
        if self.sick is not None:
            return _faulty(self.sick, request)
        if self.faults and not golden:
            return _faulty(self.faults.popleft(), request)
        self.predictions += not golden
        return answer(200, {"predictions": [model.row()] * count})


def is_golden(body: bytes) -> bool:
    """The probe's own picture, not a client's."""
    return any(known in body for known in GOLDEN)


def _faulty(fault: Fault, request: httpx.Request) -> httpx.Response:
    if isinstance(fault, Exception):
        raise fault
    return fault(request) if callable(fault) else fault


def network(*replicas: FakeReplica) -> httpx.MockTransport:
    """The wire to these replicas; any other address refuses the connection."""
    by_address = {replica.address: replica for replica in replicas}

    def handle(request: httpx.Request) -> httpx.Response:
        replica = by_address.get(request.url.netloc.decode())
        if replica is None:
            raise httpx.ConnectError("refused", request=request)
        return replica(request)

    return httpx.MockTransport(handle)


def pixels_sent(request: httpx.Request) -> np.ndarray[Any, Any]:
    """The picture inside a predict call: uint8 from bytes, float from nested lists; shape (224, 224, 3)."""
    (instance,) = json.loads(request.content)["instances"]
    if isinstance(instance, dict):
        return np.frombuffer(base64.b64decode(instance["b64"]), np.uint8).reshape(224, 224, 3)
    return np.asarray(instance, np.float32)
