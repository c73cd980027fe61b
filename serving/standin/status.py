"""The JSON of status and metadata answers (spec section 8)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from serving.standin.signatures import Signature, TensorInfo
from serving.standin.version_policy import Version


def write_status(versions: Sequence[Version]) -> bytes:
    """Numbers of 64 bits are strings in the JSON form of protocol buffers."""
    entries = [
        {
            "version": str(version.number),
            "state": version.state.value,
            "status": {
                "error_code": version.error.code.name if version.error else "OK",
                "error_message": version.error.message if version.error else "",
            },
        }
        for version in versions
    ]
    return _dump({"model_version_status": entries})


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
