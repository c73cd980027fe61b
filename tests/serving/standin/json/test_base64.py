import pytest

from serving.standin.errors import StatusError
from serving.standin.json.base64 import decode_base64


@pytest.mark.parametrize(
    ("text", "data"),
    [("", b""), ("QUI=", b"AB"), ("QUI", b"AB"), ("Q U\nI=", b"AB"), ("QQ..", b"A"), ("QUJD", b"ABC"), ("QR==", b"A")],
)
def test_base64_is_read_as_absl_does(text: str, data: bytes) -> None:
    assert decode_base64(text) == data


@pytest.mark.parametrize("text", ["A", "QUJDR", "QUI==", "QQ=", "-_8A", "QU=I", "=", "Qü==", "!"])
def test_other_base64_is_refused(text: str) -> None:
    with pytest.raises(StatusError, match="Unable to base64 decode"):
        decode_base64(text)
