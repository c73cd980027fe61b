"""A signature in the text format of protocol buffers, as error texts quote it."""

from collections.abc import Mapping

from google.protobuf.text_format import MessageToString

from protocol import tensorflow_serving_pb2 as messages
from serving.standin.tensors.signatures import Signature, TensorInfo


def signature_text(signature: Signature) -> str:
    definition = messages.SignatureDef(
        inputs=_infos(signature.inputs), outputs=_infos(signature.outputs), method_name=signature.method_name
    )
    return MessageToString(definition, as_utf8=False)


def _infos(infos: Mapping[str, TensorInfo]) -> dict[str, messages.TensorInfo]:
    return {
        alias: messages.TensorInfo(name=info.name, dtype=info.dtype.number, tensor_shape=_shape(info))
        for alias, info in infos.items()
    }


def _shape(info: TensorInfo) -> messages.TensorShapeProto:
    if info.shape is None:
        return messages.TensorShapeProto(unknown_rank=True)
    dims = [messages.TensorShapeProto.Dim(size=dim.size, name=dim.name) for dim in info.shape]
    return messages.TensorShapeProto(dim=dims)
