"""Print the part of the lock that one image needs: `python deploy/locked.py serving training > requirements.txt`.

One lock pins the whole tree, and an image installs only what its blocks require. pyproject.toml lists the direct
dependencies of a block (`gateway` means the project's own, the other blocks are its extras). The lock's `# via`
comments name the packages that require the rest. The script uses only the standard library, because it runs in the
first stage of an image, before anything is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_PIN = re.compile(r"^([a-z0-9][a-z0-9.-]*)==", re.MULTILINE)
_VIA = re.compile(r"^    #(?: via|  ) +(\S+)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def subset(project: dict[str, Any], lock: str, blocks: Iterable[str]) -> str:
    """The pins of `blocks`, hashes included, in the lock's order.

    Raises:
        LookupError: pyproject.toml has no such block, or the lock lacks a package that the block requires.
    """
    pins = dict(_pins(lock))
    wanted = set(_asked_for(project, blocks))
    if missing := wanted - pins.keys():
        raise LookupError(f"requirements.lock lacks {', '.join(sorted(missing))}: run make lock")
    askers = {name: set(_VIA.findall(pin)) for name, pin in pins.items()}
    while more := {name for name in pins if name not in wanted and askers[name] & wanted}:
        wanted |= more
    return "".join(pin for name, pin in pins.items() if name in wanted)


def _pins(lock: str) -> Iterator[tuple[str, str]]:
    starts = [match.start() for match in _PIN.finditer(lock)]
    for start, end in zip(starts, [*starts[1:], len(lock)], strict=True):
        name = _PIN.match(lock, start)
        assert name is not None
        yield name[1], lock[start:end]


def _asked_for(project: dict[str, Any], blocks: Iterable[str]) -> Iterator[str]:
    extras = project["project"]["optional-dependencies"]
    for block in blocks:
        if block != "gateway" and block not in extras:
            raise LookupError(f"unknown block {block!r}: use one of gateway, {', '.join(extras)}")
        for requirement in project["project"]["dependencies"] if block == "gateway" else extras[block]:
            name = _NAME.match(requirement)
            assert name is not None, requirement
            yield re.sub(r"[-_.]+", "-", name[0]).lower()


def main() -> None:
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    try:
        sys.stdout.write(subset(project, (root / "requirements.lock").read_text(encoding="utf-8"), sys.argv[1:]))
    except LookupError as error:
        sys.exit(f"locked: {error}")


if __name__ == "__main__":
    main()
