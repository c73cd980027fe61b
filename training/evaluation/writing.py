"""The files of an evaluation: for programs, for eyes, for whoever inherits the model."""

from pathlib import Path

from training.evaluation.card import as_card
from training.evaluation.measuring import Result
from training.evaluation.page import as_page
from training.evaluation.record import FILE
from training.reports.files import write_files

PAGE_NAME, CARD_NAME = "evaluation.html", "model_card.md"


def write(result: Result, folder: Path) -> Path:
    """Write evaluation.json, evaluation.html and model_card.md; the page's path.

    Raises:
        DataSetError: the folder cannot be written; older files stay as they were.
    """
    files = {
        FILE: result.evaluation.model_dump_json(indent=1) + "\n",
        PAGE_NAME: as_page(result.evaluation, result.thumbnails),
        CARD_NAME: as_card(result.evaluation),
    }
    write_files(folder, files)
    return folder / PAGE_NAME
