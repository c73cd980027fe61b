"""Open a model by name: an address, a file, or the folder of a run, of a version or of a served model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.labels import LabelMap
from training import versions
from training.data.label_map import read_label_map
from training.errors import JudgementError
from training.judge.sources.source import Source
from training.learn import runs


class Foreign(NamedTuple):
    """What must be given for a model that does not describe itself."""

    labels: Path | None = None
    """Label file: one class per line or a CSV, in the order of the output."""
    input_range: str = "0..1"
    """What a colour channel spans in its input: 0..1, -1..1 or 0..255."""
    temperature: float = 1.0


@contextmanager
def opened(named: str | Path, foreign: Foreign = Foreign()) -> Iterator[Source]:  # noqa: B008 - immutable
    """The model, closed at the end.

    Args:
        named: http://HOST:PORT of a gateway, http://HOST:PORT/v1/models/NAME of a replica, a `.keras` or `.h5` file,
            the folder of a run, of a SavedModel, or of a served model (`models/NAME`), of which the newest version
            is used.

    Raises:
        JudgementError: there is no such model, or it cannot be used.
    """
    source = _opened(str(named), foreign)
    try:
        yield source
    finally:
        source.close()


def _opened(named: str, foreign: Foreign) -> Source:
    label_map = read_label_map(foreign.labels) if foreign.labels else None
    if "://" in named:
        from training.judge.sources import served

        return served.opened(named, label_map, input_range=foreign.input_range)
    path = Path(named)
    if path.is_dir():
        return _folder(path, label_map, foreign)
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise JudgementError(f"{named} is not a model: give a .keras or .h5 file, a folder or an http:// address.")
    if label_map is None:
        raise JudgementError(
            f"{named} does not describe its labels: give a file of them with --labels, one class per line or a CSV."
        )
    from training.judge.sources import keras_file

    return keras_file.opened(path, label_map, temperature=foreign.temperature, input_range=foreign.input_range)


def _folder(path: Path, label_map: LabelMap | None, foreign: Foreign) -> Source:
    if (path / runs.RECORD).is_file():
        from training.judge.sources import keras_file

        return keras_file.of_run(path)
    newest = max(versions.present(path), default=None)
    directory = path if newest is None else path / str(newest)
    if not (directory / "saved_model.pb").is_file():
        raise JudgementError(f"{path} holds neither a run nor a SavedModel nor versions of a served model.")
    from training.judge.sources import saved_model

    return saved_model.opened(directory, label_map, input_range=foreign.input_range, name=str(path))
