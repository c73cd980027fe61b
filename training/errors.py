"""What can go wrong in training and export, each said in one sentence that the shell prints as it is."""


class TrainingError(Exception):
    """A failure that whoever typed the command can do something about."""


class ExportError(TrainingError):
    """The version was not written: nothing has become visible."""
