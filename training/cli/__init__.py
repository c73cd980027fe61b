"""The command line, `python -m training VERB`: a file per room, with the verbs of that room.

A verb imports what it needs when it is called, so that --help is quick.
"""

import os
import sys

import typer

from training.cli import data, demo, judge, learn, release
from training.console import notify
from training.errors import TrainingError

app = typer.Typer(
    help="Turn labelled photos into a model version that replicas serve.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for room in (data, learn, judge, release, demo):
    app.add_typer(room.app)


@app.callback()
def training() -> None:
    """Set TensorFlow's log level before a verb imports it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def main() -> None:
    """Run the verb of the command line; an expected failure is one line on stderr and the error's exit status."""
    try:
        app()
    except (TrainingError, OSError) as error:
        notify(f"training: {error}")
        sys.exit(error.exit_code if isinstance(error, TrainingError) else 1)
