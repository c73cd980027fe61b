"""The JSON of status and metadata responses (docs/tensorflow-serving.md, "Status" and "Metadata")."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from serving.standin.models.version_policy import State, Version
from serving.standin.tensors.signatures import Signature, TensorInfo


def write_status(versions: Sequence[Version]) -> bytes:
    return _dump({"model_version_status": [_version_status(version) for version in versions]})


def _version_status(version: Version) -> dict[str, Any]:
    """64-bit numbers are strings. The error shows only in state END: while attempts are left, the status is OK."""
    error = version.error if version.state is State.END else None
    status = {"error_code": error.code.name if error else "OK", "error_message": error.message if error else ""}
    return {"version": str(version.number), "state": version.state.value, "status": status}


def write_metadata(model: str, version: int, signatures: Mapping[str, Signature]) -> bytes:
    return _dump(
        {
            "model_spec": {"name": model, "signature_name": "", "version": str(version)},
            "metadata": {
                "signature_def": {
                    "signature_def": {name: _signature(signature) for name, signature in signatures.items()}
                }
            },
        }
    )


def _signature(signature: Signature) -> dict[str, Any]:
    return {
        "inputs": {alias: _tensor(info) for alias, info in signature.inputs.items()},
        "outputs": {alias: _tensor(info) for alias, info in signature.outputs.items()},
        "method_name": signature.method_name,
        "defaults": {},
    }


def _tensor(info: TensorInfo) -> dict[str, Any]:
    dims = [{"size": str(dim.size), "name": dim.name} for dim in info.shape or ()]
    return {
        "dtype": info.dtype.proto_name,
        "tensor_shape": {"dim": dims, "unknown_rank": info.shape is None},
        "name": info.name,
    }


def _dump(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
