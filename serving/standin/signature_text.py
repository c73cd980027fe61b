"""A signature in the text format of protocol buffers, as error texts quote it."""

from collections.abc import Iterator, Mapping

from serving.standin.json_text import quoted
from serving.standin.signatures import Signature, TensorInfo


def signature_text(signature: Signature) -> str:
    lines = [*_entries("inputs", signature.inputs), *_entries("outputs", signature.outputs)]
    if signature.method_name:
        lines.append(f"method_name: {quoted(signature.method_name)}")
    return "".join(f"{line}\n" for line in lines)


def _entries(field: str, tensors: Mapping[str, TensorInfo]) -> Iterator[str]:
    for alias, info in tensors.items():
        yield f"{field} {{"
        yield f"  key: {quoted(alias)}"
        yield "  value {"
        yield f"    name: {quoted(info.name)}"
        yield f"    dtype: {info.dtype.proto_name}"
        yield "    tensor_shape {"
        yield from _shape(info)
        yield "    }"
        yield "  }"
        yield "}"


def _shape(info: TensorInfo) -> Iterator[str]:
    if info.shape is None:
        yield "      unknown_rank: true"
        return
    for dim in info.shape:
        yield "      dim {"
        if dim.size:
            yield f"        size: {dim.size}"
        if dim.name:
            yield f"        name: {quoted(dim.name)}"
        yield "      }"
