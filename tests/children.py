"""The child processes of the test run."""

import psutil

TRACKER = "multiprocessing.resource_tracker"


def children() -> list[psutil.Process]:
    """Those of this process, without the tracker that multiprocessing keeps as soon as any test has used it."""
    return [child for child in psutil.Process().children() if not _is_tracker(child)]


def _is_tracker(child: psutil.Process) -> bool:
    try:
        return any(TRACKER in word for word in child.cmdline())
    except psutil.ZombieProcess:
        return False
