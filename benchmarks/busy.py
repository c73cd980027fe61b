"""`python -m benchmarks.busy`: how embedded replicas share the requests on a machine with bursts of other load.

There are two replicas with a full-width MobileNetV2, eight clients, and four processes that use a core in bursts (three
on the first core, one on the second). For each run it prints every replica's share of the attempts, and how often a
replica was ejected or put on trial turns as slow. No replica may be ejected, and each share must be within a tenth of
an equal share.
"""

import argparse
import http.client
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.__main__ import export_model
from benchmarks.line import Line, running
from benchmarks.pictures import photo

CLIENTS = 8
AT_A_TIME = 200
BURNING_CORES = (0, 0, 0, 1)
BURNER = """
import os, random, sys, time
os.sched_setaffinity(0, {int(sys.argv[1]) % os.cpu_count()})
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    until = time.monotonic() + random.choice([0.05, 0.3, 1.0])
    while time.monotonic() < until:
        pass
    time.sleep(random.choice([0.05, 0.3, 1.5]))
"""


def main() -> None:
    """Run, print the results, and exit with 1 if a bound was exceeded."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        models, picture = Path(folder) / "models", Path(folder) / "small.jpg"
        export_model(models)
        picture.write_bytes(photo((512, 384), kilobytes=30))
        held = True
        for run in range(1, arguments.runs + 1):
            with running(models, picture.read_bytes(), embedded_replicas=str(arguments.replicas)) as line:
                held &= _run(line, picture, arguments.seconds, f"run {run}")
    sys.exit(0 if held else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60, help="duration of each run")
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def _run(line: Line, picture: Path, seconds: float, name: str) -> bool:
    before = _attempts(line.port)
    burners = [subprocess.Popen([sys.executable, "-c", BURNER, str(core), str(seconds)]) for core in BURNING_CORES]
    until, requests, failed = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        load = line.load(picture, count=AT_A_TIME, clients=CLIENTS)
        requests, failed = requests + AT_A_TIME, failed + load.failures
    for burner in burners:
        burner.wait()
    attempts = {replica: count - before.get(replica, 0) for replica, count in _attempts(line.port).items()}
    shares = [count / sum(attempts.values()) for count in attempts.values()]
    ejected, slow = _total(line.port, "gateway_ejections_total"), _total(line.port, "gateway_slow_replicas_total")
    told = ", ".join(f"{share:.1%}" for share in shares)
    sys.stdout.write(
        f"{name}: {requests:,} requests, {failed} failed; shares {told}; {ejected:g} ejections; {slow:g} times slow\n"
    )
    sys.stdout.flush()
    even = 1 / len(shares)
    return ejected == 0 and not failed and all(0.9 * even <= share <= 1.1 * even for share in shares)


def _attempts(port: int) -> dict[str, float]:
    found = re.findall(r'^gateway_replica_attempts_total\{replica="([^"]+)"\} (\S+)$', _metrics(port), re.MULTILINE)
    return {replica: float(count) for replica, count in found}


def _total(port: int, name: str) -> float:
    return sum(map(float, re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", _metrics(port), re.MULTILINE)))


def _metrics(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


if __name__ == "__main__":
    main()
