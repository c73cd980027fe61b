"""What can go wrong in training and export, each said in one sentence that the shell prints as it is."""

from typing import ClassVar


class TrainingError(Exception):
    """A failure that whoever typed the command can do something about."""

    exit_code: ClassVar[int] = 1
    """Of the command that ends with it."""


class ExportError(TrainingError):
    """The version was not written: nothing has become visible."""


class DataSetError(TrainingError):
    """There is no data set to work on, or no place to report on it: the work has not begun."""

    exit_code = 2


class RunError(TrainingError):
    """A training run cannot be begun, gone on with or read; what is on disk is as it was."""

    exit_code = 2


class JudgementError(TrainingError):
    """There is nothing to judge or nothing to judge it by: no verdict, which is neither a pass nor a failure."""

    exit_code = 2


class ReleaseError(TrainingError):
    """Which version serves was not changed."""
