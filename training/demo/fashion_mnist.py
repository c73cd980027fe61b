"""Fashion-MNIST as a folder of pictures: freely available labelled photos to test a training with.

    python -m training.demo.fashion_mnist photos/fashion --train 12000 --test 10000

Debian packages it as dataset-fashion-mnist: 70,000 grey pictures of 28 x 28 pixels, of 10 classes. Each becomes a PNG,
photos/fashion/train/Bag/00001.png, to be resized like any upload.
"""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.console import NewBar, Progress, no_bar, progress_bars
from training.errors import DataSetError, TrainingError

PACKAGE = Path("/usr/share/datasets/fashion-mnist")
LABELS = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle_boot")
SOURCES = {"train": "train", "test": "t10k"}
SIDE_PX = 28
HEADER_BYTES = {"images": 16, "labels": 8}
"""Of the IDX format: a magic number and the dimensions."""


def write(folder: Path, *, train: int, test: int, bar: NewBar = no_bar) -> None:
    """Write the first pictures of each part; existing files are kept.

    Raises:
        DataSetError: the package is not installed, or the folder cannot be written.
    """
    for part, count in (("train", train), ("test", test)):
        pixels, classes = read(part)
        try:
            _write_part(folder / part, pixels[:count], classes[:count], bar(f"Writing {part}"))
        except OSError as cause:
            raise DataSetError(f"{folder} cannot be written: {cause.strerror}.") from cause


def read(part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels uint8 [N,28,28] and classes uint8 [N] of "train" (60,000) or "test" (10,000)."""
    pixels, classes = (_values(part, kind) for kind in ("images", "labels"))
    return pixels.reshape(-1, SIDE_PX, SIDE_PX), classes


def _values(part: str, kind: str) -> NDArray[np.uint8]:
    file = PACKAGE / f"{SOURCES[part]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz"
    try:
        data = gzip.decompress(file.read_bytes())
    except FileNotFoundError as cause:
        raise DataSetError(f"{file} is missing: apt-get install dataset-fashion-mnist.") from cause
    return np.frombuffer(data, np.uint8, offset=HEADER_BYTES[kind])


def _write_part(folder: Path, pixels: NDArray[np.uint8], classes: NDArray[np.uint8], progress: Progress) -> None:
    for label in LABELS:
        (folder / label).mkdir(parents=True, exist_ok=True)
    for at, (picture, k) in enumerate(zip(pixels, classes, strict=True)):
        path = folder / LABELS[k] / f"{at:05}.png"
        if not path.exists():
            Image.fromarray(picture).save(path)
        progress(at + 1, len(pixels))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.demo.fashion_mnist", description="Fashion-MNIST as PNG files."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=60_000, help="training pictures")
    parser.add_argument("--test", type=int, default=10_000, help="test pictures")
    arguments = parser.parse_args()
    try:
        with progress_bars() as bar:
            write(arguments.folder, train=arguments.train, test=arguments.test, bar=bar)
    except TrainingError as error:
        sys.exit(f"fashion_mnist: {error}")


if __name__ == "__main__":
    main()
