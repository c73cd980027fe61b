"""The simulated model: one right name for every picture, the same for every version.

Every version has its own order of names and its own confidence. So the confidence of an answer shows which version it
came from, and its name shows whether it was read with that version's labels. Pure; imported by both sides.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

CLASSES = 40
NAMES = tuple(f"species {number:02}" for number in range(CLASSES))


def digest(pixels: bytes) -> int:
    """The key of a picture: CRC-32 of its 150,528 bytes."""
    return zlib.crc32(pixels)


def name_of(picture: int) -> str:
    """The right answer for a picture, by its digest."""
    return NAMES[picture % CLASSES]


def labels(version: int) -> Sequence[str]:
    """The names in that version's order. Versions less than `CLASSES` apart have no name at the same place."""
    start = version % CLASSES
    return (*NAMES[start:], *NAMES[:start])


def confidence(version: int) -> float:
    """That version's confidence in every answer: 0.50 to 0.89."""
    return 0.5 + version % CLASSES / 100


@lru_cache(maxsize=1024)
def probabilities(name: str, version: int) -> Sequence[float]:
    """One row of that version's output; sums to 1."""
    sure = confidence(version)
    other = (1 - sure) / (CLASSES - 1)
    return [sure if label == name else other for label in labels(version)]


@lru_cache(maxsize=1024)
def answer(name: str, version: int) -> bytes:
    """The body of a predict answer."""
    return json.dumps({"predictions": [probabilities(name, version)]}).encode()


def description(version: int, fingerprint: str) -> str:
    """What `describe` answers, for a gateway whose preprocessing has this fingerprint."""
    document = {"title": "Simulated", "labels": labels(version), "preprocessing": {"fingerprint": fingerprint}}
    return json.dumps(document)


def status(versions: Mapping[str, str], errors: Mapping[str, str]) -> bytes:
    """The body of a status answer, from states and load errors by version."""
    listed = [
        {"version": version, "state": state, "status": _load_status(errors.get(version))}
        for version, state in versions.items()
    ]
    return json.dumps({"model_version_status": listed}).encode()


def _load_status(error: str | None) -> dict[str, str]:
    return {} if error is None else {"error_code": "INTERNAL", "error_message": error}
