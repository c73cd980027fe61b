"""Expected failures of training and export; each message is one sentence that the command line prints unchanged."""

from typing import ClassVar


class TrainingError(Exception):
    """A failure that the user of the command can do something about."""

    exit_code: ClassVar[int] = 1
    """Exit status of a command that ends with this error."""


class ExportError(TrainingError):
    """The version was not written; nothing has become visible."""


class DataSetError(TrainingError):
    """The data set, or the place of the report, cannot be used; the work has not begun."""

    exit_code = 2


class RunError(TrainingError):
    """A run cannot be begun, resumed or read; the files are unchanged."""

    exit_code = 2


class JudgementError(TrainingError):
    """Something needed for a judgement is missing or unusable: there is no verdict, neither passed nor failed."""

    exit_code = 2


class ReleaseError(TrainingError):
    """The serving version was not changed."""
