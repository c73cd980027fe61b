"""Real pictures for schemathesis, which would otherwise send random bytes wherever the document says `binary`.

Loaded by file name (see schemathesis.toml), so it imports nothing of this repository.
"""

import io

import schemathesis
from hypothesis import strategies as st
from PIL import Image


def picture(kind: str) -> bytes:
    """A few grey pixels."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).save(file, kind)
    return file.getvalue()


for kind in ("JPEG", "PNG", "WEBP", "GIF"):
    schemathesis.openapi.media_type(f"image/{kind.lower()}", st.just(picture(kind)))
schemathesis.openapi.media_type("application/octet-stream", st.just(picture("JPEG")))
