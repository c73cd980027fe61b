"""Data sets of drawn pictures to validate: one without a fault, and the same with twenty planted ones."""

import hashlib
import io
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests import drawings

CLASSES = {"Anemone": 0, "Jelly": 4, "Sea_star": 14}
"""Folder and the drawn class that fills it."""


@cache
def drawn(class_index: int, seed: int) -> Image.Image:
    return drawings.draw(class_index, seed)


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    return _encoded(picture, "JPEG", quality=quality)


def png(picture: Image.Image) -> bytes:
    return _encoded(picture, "PNG", compress_level=1)


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def put(root: Path, file: str, data: bytes) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_bytes(data)


def clean(root: Path, per_class: int = 5) -> Path:
    """A folder per class, nothing wrong with it."""
    for name, class_index in CLASSES.items():
        for seed in range(per_class):
            put(root, f"{name}/{seed}.jpg", jpeg(drawn(class_index, seed)))
    return root


def split(root: Path) -> Path:
    """The same in train, val and test, nothing wrong with it."""
    for name, class_index in CLASSES.items():
        for seed, part in enumerate(("train", "train", "train", "val", "test")):
            put(root, f"{part}/{name}/{seed}.jpg", jpeg(drawn(class_index, seed)))
    return root


class Fault(NamedTuple):
    """What `validate` must say of a planted fault."""

    kind: str
    about: str
    """A file of the finding, or a word of its sentence."""


LABEL_MAP = ("Anemone", "Jelly", "Sea_star", "Urchin", "Worm", "Sponge")


def faulty(root: Path) -> tuple[Path, list[Fault]]:
    """The clean split folder, and twenty faults planted in it."""
    split(root)
    picture, other = drawn(0, 20), drawn(4, 20)
    file = jpeg(picture)
    put(root, "train/Anemone/truncated.jpg", file[: len(file) // 2])
    put(root, "train/Anemone/garbled.png", png(picture)[:60] + b"garbage" * 99 + b"IEND\xaeB`\x82")
    put(root, "train/Anemone/page.jpg", b"<!doctype html><title>Not found</title>")
    put(root, "train/Anemone/empty.jpg", b"")
    put(root, "train/Anemone/notes.txt", b"Taken in the rain.")
    put(root, "train/Anemone/renamed.jpg", png(drawn(0, 21)))
    put(root, "train/loose.jpg", jpeg(drawn(0, 22)))
    put(root, "train/Jelly/copy.jpg", jpeg(drawn(4, 0)))  # of 0.jpg
    put(root, "train/Jelly/smaller.jpg", jpeg(drawn(4, 1).resize((200, 200)), quality=60))  # of 1.jpg
    put(root, "train/Sea_star/elsewhere.jpg", jpeg(drawn(4, 2)))  # train/Jelly/2.jpg
    put(root, "test/Sea_star/leaked.jpg", jpeg(drawn(14, 0)))  # train/Sea_star/0.jpg
    put(root, "train/Sea_star/resaved.jpg", jpeg(drawn(14, 3).resize((240, 240)), quality=50))  # val/Sea_star/3.jpg
    put(root, "train/Jelly/blank.png", png(Image.new("RGB", (300, 300), (90, 120, 140))))
    put(root, "train/Jelly/tiny.png", png(other.resize((40, 40))))
    put(root, "train/Jelly/wide.jpg", jpeg(drawn(4, 21).crop((0, 100, 320, 180)).resize((640, 160))))
    (root / "train/Sponge").mkdir()
    for seed in (0, 1):
        put(root, f"train/Urchn/{seed}.jpg", jpeg(drawn(50, seed)))
    put(root, "test/Crinoid/0.jpg", jpeg(drawn(51, 0)))
    return root, [
        Fault("truncated", "train/Anemone/truncated.jpg"),
        Fault("unreadable", "train/Anemone/garbled.png"),
        Fault("unreadable", "train/Anemone/page.jpg"),
        Fault("empty-file", "train/Anemone/empty.jpg"),
        Fault("not-a-picture", "train/Anemone/notes.txt"),
        Fault("wrong-extension", "train/Anemone/renamed.jpg"),
        Fault("unlabelled", "train/loose.jpg"),
        Fault("duplicate", "train/Jelly/copy.jpg"),
        Fault("near-duplicate", "train/Jelly/smaller.jpg"),
        Fault("conflicting-labels", "train/Sea_star/elsewhere.jpg"),
        Fault("leakage", "test/Sea_star/leaked.jpg"),
        Fault("leakage", "train/Sea_star/resaved.jpg"),
        Fault("blank", "train/Jelly/blank.png"),
        Fault("tiny", "train/Jelly/tiny.png"),
        Fault("stretched", "train/Jelly/wide.jpg"),
        Fault("empty-class", "train/Sponge"),
        Fault("misspelt-label", "Urchn is not in the label map: did you mean Urchin?"),
        Fault("missing-label", "Worm"),
        Fault("not-in-train", "Crinoid"),
        Fault("too-few-pictures", "Urchn has 2"),
    ]


def digest(folder: Path) -> str:
    """Of all that lies in it: names, bytes and times of change."""
    total = hashlib.sha256()
    for path in [folder, *sorted(folder.rglob("*"))]:
        total.update(f"{path} {path.stat().st_mtime_ns}".encode())
        total.update(path.read_bytes() if path.is_file() else b"folder")
    return total.hexdigest()
