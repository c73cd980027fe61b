"""Any mode that a decoder yields -> 8-bit sRGB without alpha, around the one resize.

The resize comes as early as possible: each step after it handles 50,000 pixels instead of twelve million.
"""

from functools import lru_cache
from io import BytesIO
from itertools import chain, product

from PIL import Image, ImageChops, ImageCms
from PIL.Image import Resampling

from gateway.imaging.input_size import SIDE_PX
from gateway.imaging.png import MAX_PROFILE_BYTES

REDUCING_GAP = 3.0
"""Sides above 3 x 2 x SIDE_PX are first reduced by a box filter: mean difference 0.16 of 255 levels, at most 1."""
PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of an ICC profile -> the mode that it applies to. Grey may have an RGB profile, too, as in browsers."""
ROUNDING_LEVELS = 2
"""Profiles of sRGB from many programs change a colour by 1 of 255 at most, the closest other curve by 19."""

AVERAGING_MODES = {"L", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
"""Modes whose values may be averaged. Palette indices, hues and Lab's signed channels may not."""
Box = tuple[float, float, float, float]


def fit(image: Image.Image, box: Box | None) -> Image.Image:
    """Fit one picture to the model's input: sRGB, SIDE_PX square, aspect ratio not kept, transparency over white.

    Args:
        box: the part of the image to use, in fractions of a pixel, where scaled decoding has rounded the size up.

    Source: Pillow's BILINEAR is a triangle filter as wide as the reduction: it averages when shrinking.
    """
    small = averageable(image).resize((SIDE_PX, SIDE_PX), Resampling.BILINEAR, box, REDUCING_GAP)
    return to_srgb(over_white(small), image.info.get("icc_profile"))


def averageable(image: Image.Image) -> Image.Image:
    """Convert to a mode whose values may be averaged, with transparency as an alpha channel."""
    if image.mode.startswith("I"):
        return from_deep(image)
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if "transparency" in image.info and image.mode in ("1", "L", "RGB"):
        return from_keyed(image)
    if image.mode in AVERAGING_MODES:
        return image
    return image.convert({"1": "L", "La": "LA", "RGBa": "RGBA"}.get(image.mode, "RGB"))


def on_canvas(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Make all of a picture transparent but for its first frame, which lies in `box`."""
    frame = averageable(image.crop(box)).convert("RGBA")
    canvas = Image.new("RGBA", image.size)
    canvas.paste(frame, box[:2])
    canvas.info = image.info
    return canvas


def from_keyed(image: Image.Image) -> Image.Image:
    """Turn the one colour that stands for transparent (PNG's tRNS without a palette) into an alpha channel."""
    return image.convert("RGBA" if image.mode == "RGB" else "LA")


def from_deep(image: Image.Image) -> Image.Image:
    """Reduce grey of 16 bits to 8 bits. Pillow's own conversion clips at 255: nearly everything turns white."""
    values = image.convert("I")
    grey = values.point(high_bytes()[:: -1 if image.info.get("inverted") else 1], "L")
    if "transparency" in image.info:
        opaque = [255] * 0x10000
        opaque[image.info["transparency"]] = 0
        grey.putalpha(values.point(opaque, "L"))
    return grey


@lru_cache(maxsize=1)
def high_bytes() -> list[int]:
    """The 8-bit value for each 16-bit value."""
    return [value >> 8 for value in range(0x10000)]


def over_white(image: Image.Image) -> Image.Image:
    """Replace the alpha channel: transparent pixels become white, whatever their colour."""
    if image.mode not in ("LA", "RGBA"):
        return image
    opaque = image.convert(image.mode[:-1])
    page = Image.new(opaque.mode, image.size, "white")
    page.paste(opaque, mask=image.getchannel("A"))
    return page


def to_srgb(image: Image.Image, profile: object) -> Image.Image:
    """Convert by the embedded ICC profile if it is valid, fits the mode and is not sRGB; else without a profile."""
    if image.mode in ("YCbCr", "RGBX"):
        image = image.convert("RGB")
    transform = None
    if isinstance(profile, bytes) and len(profile) <= MAX_PROFILE_BYTES:
        transform = srgb_transform(profile, image.mode)
    if transform is None:
        return image.convert("RGB")
    return transform.apply(image.convert(transform.input_mode))


@lru_cache(maxsize=8)
def srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from `profile` to sRGB; None if the profile is sRGB, invalid or for another mode than `mode`."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        of_profile = PROFILE_MODES.get(source.profile.xcolor_space)
        if of_profile is None or (of_profile, mode) not in ((mode, mode), ("RGB", "L")):
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), of_profile, "RGB")
        return None if of_profile == "RGB" and keeps_colours(transform) else transform
    except (
        ImageCms.PyCMSError,
        OSError,
        ValueError,
        TypeError,
    ):  # damaged profiles are common, and their effect on colours is small
        return None


def keeps_colours(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether an RGB profile is sRGB, whatever its name: no colour of a coarse grid changes by more than rounding."""
    grid = colour_grid()
    return max(ImageChops.difference(grid, transform.apply(grid)).tobytes()) <= ROUNDING_LEVELS


@lru_cache(maxsize=1)
def colour_grid() -> Image.Image:
    """Nine levels of each channel, every combination: 27 x 27 pixels."""
    levels = [round(step * 255 / 8) for step in range(9)]
    return Image.frombytes("RGB", (27, 27), bytes(chain.from_iterable(product(levels, repeat=3))))
