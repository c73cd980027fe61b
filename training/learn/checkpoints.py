"""Where a training stands, in one file that is always whole: to go on after a kill.

`checkpoints/last.npz` holds every variable of the network and of its optimizer, the best weights of the phase so
far, and a small document that says how far it has come. It is written aside and renamed.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.errors import RunError
from training.learn.run import write_whole

NAME = "last.npz"
KINDS = ("model", "optimizer", "best")
Arrays = Sequence[Any]
"""NumPy arrays."""


class Checkpoint(NamedTuple):
    """What is needed to go on."""

    state: dict[str, Any]
    """Anything that JSON holds."""
    model: Arrays
    optimizer: Arrays
    best: Arrays
    """Weights of the best epoch of the phase; none before the first is over."""


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the last one; about 0.2 s for the full network, flushed to the disk."""
    arrays = {f"{kind}/{at:04}": array for kind in KINDS for at, array in enumerate(getattr(checkpoint, kind))}
    out = io.BytesIO()
    np.savez(out, state=np.array(json.dumps(checkpoint.state)), allow_pickle=False, **arrays)
    folder.mkdir(exist_ok=True)
    write_whole(folder / NAME, out.getvalue())


def load(folder: Path) -> Checkpoint | None:
    """The last one; None where nothing was kept yet.

    Raises:
        RunError: it is damaged.
    """
    file = folder / NAME
    if not file.exists():
        return None
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            parts = {kind: [stored[name] for name in sorted(stored) if name.startswith(f"{kind}/")] for kind in KINDS}
            return Checkpoint(json.loads(str(stored["state"])), **parts)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as cause:
        raise RunError(
            f"The checkpoint {file} is damaged: delete {folder} to begin this run anew, or train into another folder."
        ) from cause
