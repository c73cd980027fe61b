"""Run as a script: execute a notebook from top to bottom where it lies, and write it with its outputs elsewhere."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main(notebook: Path, executed: Path) -> None:
    found = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(notebook.parent)}}
    NotebookClient(found, timeout=600, kernel_name="python3", resources=where).execute()
    nbformat.write(found, executed)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
