"""Pictures stored as a turned camera stores them."""

from PIL import Image
from PIL.Image import Transpose

BACK = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""Orientation -> the inverse of the turn that it asks for."""


def stored_for(orientation: int, image: Image.Image) -> Image.Image:
    """What has to be stored so that it shows as `image`; as it is where the orientation is not valid."""
    return image.transpose(BACK[orientation]) if orientation in BACK else image
