"""`make bench`: measure CPU, latency and memory of uploads in one run, with a full-width MobileNetV2.

At the end it measures whether the input pipeline of training keeps up with the network.

Machines are noisy, so the whole service and the bare model alternate in rounds, and CPU figures are medians over the
rounds. The clients run in a separate process, which is not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import pictures
from benchmarks.line import Cpu, Line, running
from benchmarks.load import Load

CLIENTS = 8
CLASSES = 137


def main() -> None:
    """Measure, and print a Markdown table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        version = export_model(models)
        small, phone = Path(folder) / "small.jpg", Path(folder) / "phone.jpg"
        small.write_bytes(pictures.photo(pictures.WEBSITE, kilobytes=30))
        phone.write_bytes(pictures.photo(pictures.PHONE, kilobytes=2100))
        with running(models, small.read_bytes()) as line:
            rows = _measure(line, version, small, phone, arguments.requests, arguments.rounds)
        rows += _teaching(1.0, 224) + _teaching(0.35, 56)
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}, {CLIENTS} clients, MobileNetV2 1.0\n")
    print("| what | measured |\n|---|--:|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--requests", type=int, default=10_000, help="total number of small uploads, for the memory figures"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds in which the service and the bare model alternate"
    )
    return parser.parse_args()


def export_model(models: Path) -> Path:
    """Export an untrained full-width MobileNetV2, in a separate process so that its memory is freed."""
    code = (
        "import sys; from pathlib import Path; from training.demo.untrained import export_untrained; "
        f"print(export_untrained(Path(sys.argv[1]), ['class %d' % i for i in range({CLASSES})], alpha=1.0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(models / "my_model")], stdout=subprocess.PIPE, check=True, text=True
    )
    return Path(done.stdout.strip().splitlines()[-1])


def _measure(line: Line, version: Path, small: Path, phone: Path, requests: int, rounds: int) -> list[tuple[str, str]]:
    line.load(small, count=100, clients=CLIENTS)  # warm
    count = max(100, min(400, requests // (2 * rounds)))
    loads, costs, bare = [], [], []
    for _ in range(rounds):
        load, cost = _costed(line, small, count, CLIENTS)
        loads.append(load)
        costs.append(cost)
        bare.append(_bare(version))
    _, phone_cost = _costed(line, phone, 60, CLIENTS)
    left = max(0, requests // 2 - 100 - rounds * count - 60)  # of the first half
    first = line.load(small, count=left, clients=CLIENTS)
    early = line.whole_memory_mib()
    last = line.load(small, count=requests - requests // 2, clients=CLIENTS)
    late, (_, peak) = line.whole_memory_mib(), line.memory_mib()
    whole = median((cost.gateway_s + cost.replicas_s) / count * 1000 for cost in costs)
    p50, p99 = (median(load.percentile(share) for load in loads) for share in (0.5, 0.99))
    return [
        (
            "gateway alone, 512x384 JPEG of 30 KB, CPU per request",
            f"{median(c.gateway_s for c in costs) / count * 1000:.1f} ms",
        ),
        ("gateway alone, 12-megapixel JPEG of 2.1 MB, CPU per request", f"{phone_cost.gateway_s / 60 * 1000:.1f} ms"),
        ("gateway and replicas, small JPEG, CPU per request", f"{whole:.1f} ms"),
        ("bare model in one process, CPU per picture", f"{median(bare):.1f} ms"),
        ("gateway and replicas / bare model", f"{whole / median(bare):.2f}"),
        ("requests per second", f"{median(load.per_second for load in loads):.0f}"),
        ("latency p50", f"{p50:.0f} ms"),
        ("latency p99", f"{p99:.0f} ms"),
        ("p99 / p50", f"{p99 / p50:.2f}"),
        ("failed requests", f"{sum(load.failures for load in (*loads, first, last))} of {requests}"),
        (f"gateway memory after {requests:,} requests, decode processes included", f"{late:.0f} MiB"),
        ("peak memory of the gateway's own process", f"{peak:.0f} MiB"),
        ("growth over the last half of the requests", f"{late - early:+.1f} MiB"),
        ("memory of a replica", f"{median(line.replica_memory_mib()):.0f} MiB"),
        ("start to first answer, with an exported model", f"{line.first_answer_s:.1f} s"),
    ]


def _costed(line: Line, picture: Path, count: int, clients: int) -> tuple[Load, Cpu]:
    before = line.cpu()
    load = line.load(picture, count=count, clients=clients)
    return load, line.cpu() - before


def _bare(version: Path) -> float:
    environment = os.environ | {"TF_CPU_ALLOCATOR_USE_BFC": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.bare", str(version), "150"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return float(json.loads(done.stdout))


def _teaching(width: float, side_px: int) -> list[tuple[str, str]]:
    """Speed of the input pipeline with a warm cache, and of the network, alternating on all cores."""
    command = [sys.executable, "-m", "benchmarks.teaching", str(width), str(side_px)]
    done = subprocess.run(command, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, stdout=subprocess.PIPE, check=True)
    delivered, learnt = json.loads(done.stdout)
    what = f"training, width {width}, {side_px} px"
    return [
        (f"{what}: pictures per second from the warm cache, augmented", f"{delivered:.0f}"),
        (f"{what}: pictures per second trained on", f"{learnt:.1f}"),
        (f"{what}: input / network", f"{delivered / learnt:.1f}"),
    ]


if __name__ == "__main__":
    main()
