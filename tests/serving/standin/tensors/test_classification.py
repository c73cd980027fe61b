import pytest

from serving.standin.errors import StatusError
from serving.standin.tensors.classification import wanted_outputs
from serving.standin.tensors.dtypes import STRING, data_type
from serving.standin.tensors.signature_text import signature_text
from serving.standin.tensors.signatures import Dimension, Signature, TensorInfo

FLOAT = data_type(1)


def info(name: str) -> TensorInfo:
    return TensorInfo(name, FLOAT, (Dimension(-1, ""), Dimension(0, "d")))


def signature(*outputs: str, inputs: tuple[str, ...] = ("inputs",)) -> Signature:
    return Signature({name: info(f"{name}:0") for name in inputs}, {name: info(f"{name}:0") for name in outputs}, "m")


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        ("classify", signature("scores", inputs=("a", "b")), "Expected one input Tensor."),
        ("classify", signature(), "Expected one or two output Tensors, found 0"),
        ("classify", signature("scores", inputs=("x",)), "No classification inputs found in SignatureDef: inputs {"),
        ("classify", signature("y"), "Expected classification signature outputs to contain at least one of"),
        ("regress", signature("a", "b"), "Expected one output Tensor."),
        ("regress", signature("outputs", inputs=("x",)), "No regression inputs found in SignatureDef: inputs {"),
        ("regress", signature("scores"), "No regression outputs found in SignatureDef: inputs {"),
    ],
)
def test_signatures_of_another_kind_are_refused(method: str, wrong: Signature, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        wanted_outputs(method, wrong)
    assert caught.value.message.startswith(message)


def test_a_name_in_a_quoted_signature_is_escaped_as_protocol_buffers_do() -> None:
    assert 'key: "\\303\\274\\""' in signature_text(signature('\u00fc"'))


def test_a_signature_is_quoted_as_protocol_buffers_print_it() -> None:
    unknown = Signature({}, {"y": TensorInfo("y:0", STRING, None)}, "")
    assert signature_text(unknown) == (
        'outputs {\n  key: "y"\n  value {\n    name: "y:0"\n    dtype: DT_STRING\n'
        "    tensor_shape {\n      unknown_rank: true\n    }\n  }\n}\n"
    )
    assert '      dim {\n        size: -1\n      }\n      dim {\n        name: "d"\n      }\n' in signature_text(
        signature("y")
    )
