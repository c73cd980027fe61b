"""`python -m tests.attacks.beside PORT PER_SECOND KEY`: another caller, who sends small pictures at a steady pace.

A separate process, so that the attackers' work does not delay it. Prints what it saw as JSON when its standard input
ends.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from tests.documents import ROOT
from tests.faults.load import Seen, keyed, steady


@contextlib.contextmanager
def other_caller(port: int, key: str, *, per_second: float = 10) -> Iterator[Seen]:
    """Run it for as long as the block runs; what it saw is filled in at the end."""
    seen = Seen()
    command = [sys.executable, "-m", "tests.attacks.beside", str(port), str(per_second), key]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        yield seen
        process.stdin.close()
        told = json.loads(process.stdout.read())
    seen.statuses.update({int(status): count for status, count in told["statuses"].items()})
    seen.problems.update(told["problems"])
    seen.latencies_ms += told["latencies_ms"]
    seen.served_ms += told["served_ms"]
    seen.late_ms += told["late_ms"]


def main(port: int, per_second: float, key: str) -> None:
    """Until standard input ends."""
    with steady(lambda: port, per_second=per_second, message=keyed(key)) as seen:
        sys.stdout.write("started\n")
        sys.stdout.flush()
        sys.stdin.read()
    json.dump(vars(seen), sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
