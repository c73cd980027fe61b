"""`python -m deploy.reload gateway`: run a package and restart it when one of its files changes. For development."""

import signal
import subprocess
import sys
import time
from pathlib import Path

LOOK_EVERY_S = 0.5


def state(folder: Path) -> dict[Path, int]:
    """The time of the last change of each file, in nanoseconds since the epoch."""
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in {".py", ".html", ".css", ".js"}
    }


def main() -> None:
    package = sys.argv[1]
    folder = Path(package)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    child: subprocess.Popen[bytes] | None = None
    try:
        while True:
            seen = state(folder)
            child = subprocess.Popen([sys.executable, "-m", package])
            while state(folder) == seen:
                time.sleep(LOOK_EVERY_S)
            print(f"{package} has changed: restarting it", file=sys.stderr)  # noqa: T201
            _end(child)
    except KeyboardInterrupt:
        pass
    finally:
        if child is not None:
            _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    child.wait()


if __name__ == "__main__":
    main()
