"""`python -m training`, run in this process."""

from typer.testing import CliRunner

from training.cli import app


def shell(*typed: str) -> str:
    """What a command that succeeds says."""
    result = CliRunner().invoke(app, typed, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stderr
