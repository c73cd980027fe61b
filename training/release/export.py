"""Export a run or a Keras file as a version in the store: its description, its gate, the pictures that verify it."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gateway.imaging import Pixels, fingerprint
from gateway.labels import Description, LabelMap, Preprocessing
from training.console import Notify, silent
from training.data.label_map import read_label_map
from training.errors import ExportError, JudgementError
from training.judge import examples
from training.judge.evaluation import Evaluation, load_evaluation
from training.judge.gate import Verdict, load_verdict
from training.judge.sources import Foreign, Source, opened
from training.learn import runs
from training.release import promotion
from training.release import samples as offered
from training.release.provenance import GateState

if TYPE_CHECKING:  # imports TensorFlow
    from training.judge.sources.keras_file import KerasFile

VERIFIED = 8
"""Pictures on which the version must answer as Keras does."""
KEPT = ("top1", "top5", "macro_f1", "ece")
REASONS = 3


class Candidate(NamedTuple):
    """A model to export."""

    model: "KerasFile"
    label_map: LabelMap
    record: runs.RunRecord | None
    judged: Path
    """Folder of its evaluation.json and gate.json."""


def export_model(
    named: Path,
    base: Path,
    *,
    foreign: Foreign = Foreign(),  # noqa: B008 - immutable
    judged: Path | None = None,
    pictures: Path | None = None,
    also: Sequence[Path] = (),
    samples: Path | None = None,
    model: Source | None = None,
    force: bool = False,
    notify: Notify = silent,
) -> Path:
    """Write a verified version into `models/NAME.versions`; it serves once it is promoted.

    Args:
        named: the folder of a run, a `.keras` or an `.h5` file.
        base: `models/NAME`.
        foreign: label map and input range of a file; for a run a label map with other names for its labels.
        judged: folder with the gate.json of a file; a run has its own.
        pictures: labelled pictures to verify on; the run's own where None, noise for a file.
        also: folders outside of that data set's that its files may lie in.
        samples: folder of pictures for pages to offer.
        model: that of `named`, where it is open already.
        force: export although the gate was not passed; the version records this.

    Raises:
        ReleaseError: the folder of versions cannot be written.
        ExportError: the gate was not passed, or the version does not answer as Keras does: nothing is written.
        JudgementError, RunError: the model cannot be read.
    """
    promotion.check_place(base)
    candidate = _candidate(named, foreign, judged, model)
    verdict = _verdict(candidate)
    state = _state(candidate, verdict)
    if state != "passed" and not force:
        raise ExportError(_refusal(named, state, verdict))
    shown = _pictures(named, candidate, pictures, also)
    compared = "noise" if shown is None else f"{len(shown)} pictures"
    notify(f"Writing the version, then comparing its answers with Keras on {compared}")
    from training.release.graph import write_version

    origin = {
        "made_from": candidate.record.name if candidate.record else named.name,
        "model_digest": candidate.model.facts.digest,
        "gate": state,
        "forced": state != "passed",
        "seed": candidate.record.seed if candidate.record else None,
    }
    store, number = promotion.store_of(base), promotion.free_number(base, int(time.time()))
    described = describe(named, candidate)
    if samples:
        described = described.model_copy(update={"samples": tuple(offered.of_folder(samples))})
    network, taught = candidate.model.network, candidate.model.taught
    return write_version(network, described, store, pictures=shown, version=number, origin=origin, taught=taught)


def describe(named: Path, candidate: Candidate) -> Description:
    """The document that the version returns from `describe`."""
    found = _evaluation(candidate)
    record = candidate.record
    facts: dict[str, str | int] = {}
    if record:
        facts = {
            "digest": record.data.digest,
            "pictures": record.data.pictures,
            "classes": record.data.classes,
            "taught": record.splits.train,
        }
    return Description(
        title=record.name if record else named.stem,
        summary=_summary(candidate, found),
        **candidate.label_map.model_dump(),
        preprocessing=Preprocessing(fingerprint=fingerprint()),
        temperature=candidate.model.facts.temperature,
        sure_at=_sure_at(candidate),
        familiar_at=candidate.model.facts.familiar_at,
        metrics={name: round(found.metrics[name], 4) for name in KEPT} if found else {},
        training_data=facts,
        code_version=record.code_commit if record else "",
    )


def _candidate(named: Path, foreign: Foreign, judged: Path | None, model: Source | None) -> Candidate:
    run = (named / runs.RECORD).is_file()
    record = runs.load(named) if run else None
    if record and record.fingerprint != fingerprint():
        raise ExportError(f"{named} was trained with another preprocessing: train again with this code.")
    if not run and named.is_dir():
        raise JudgementError(f"{named} is not a run: give the folder of a run, a .keras or an .h5 file.")
    with nullcontext(model) if model else opened(named, foreign) as source:
        from training.judge.sources.keras_file import KerasFile

        assert isinstance(source, KerasFile)
        return Candidate(source, _label_map(named, record, foreign), record, judged or (named if run else named.parent))


def _label_map(named: Path, record: runs.RunRecord | None, foreign: Foreign) -> LabelMap:
    """The given one, which may have other names for the labels of a run; else the run's own."""
    given = read_label_map(foreign.labels) if foreign.labels else None
    if record is None:
        assert given is not None, "a file was opened without labels"
        return given
    if given and given.labels != record.labels:
        raise ExportError(
            f"{foreign.labels} does not name the labels of {named} in their order: see its {runs.RECORD}."
        )
    return given or record.label_map or LabelMap(labels=record.labels)


def _sure_at(candidate: Candidate) -> float | None:
    """The model's own threshold; None where other groups were given, since statements about these were not tested."""
    facts = candidate.model.facts
    own = facts.label_map.groups if facts.label_map else ()
    return facts.sure_at if candidate.label_map.groups == own else None


def _verdict(candidate: Candidate) -> Verdict | None:
    """The verdict on this file, by its digest."""
    verdict = load_verdict(candidate.judged)
    return verdict if verdict and verdict.model_digest == candidate.model.facts.digest else None


def _evaluation(candidate: Candidate) -> Evaluation | None:
    try:
        found = load_evaluation(candidate.judged)
    except JudgementError:
        return None
    return found if found.model.digest == candidate.model.facts.digest else None


def _state(candidate: Candidate, verdict: Verdict | None) -> GateState:
    if verdict is None:
        return "none"
    return "passed" if verdict.passed else "failed"


def _refusal(named: Path, state: GateState, verdict: Verdict | None) -> str:
    if verdict is None:
        return f"{named} has not passed a gate: run `evaluate` and `gate` on it first, or export with --force."
    reasons = "; ".join(verdict.reasons[:REASONS])
    return f"{named} has not passed its gate ({reasons}): improve it, or export with --force."


def _pictures(named: Path, candidate: Candidate, given: Path | None, also: Sequence[Path]) -> "Pixels | None":
    """uint8 [N,224,224,3], spread over the given pictures or the run's; None where there are none."""
    source = given or (named if candidate.record else None)
    if source is None:
        return None
    found = examples.of(source, also=also)
    spread = np.unique(np.linspace(0, len(found) - 1, min(VERIFIED, len(found))).astype(int))
    return np.stack([examples.picture(found[at]).pixels for at in spread])


def _summary(candidate: Candidate, found: Evaluation | None) -> str:
    knows = f"It distinguishes {len(candidate.label_map.labels):,} classes"
    if found is None:
        return f"{knows}; its accuracy has not been measured."
    share, pictures = found.metrics["top1"], found.data.pictures
    return f"{knows} and classifies {share:.1%} of {pictures:,} unseen pictures correctly."
