"""`python -m benchmarks.inspection`: CPU time to inspect bodies of TensorFlow Serving's paths, in ms a megabyte."""

import base64
import json
import os
import time
from collections.abc import Callable, Mapping

import numpy as np

from gateway.errors import PredictBodyError
from gateway.tfserving.inspection import inspect
from gateway.tfserving.skeleton import MAX_EMPTY, MAX_LISTS, MAX_STRINGS

MEGABYTE = 1_000_000
ROUNDS = 5


def bodies() -> Mapping[str, bytes]:
    """What honest clients send, then what costs the most."""
    pictures = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3))
    raw = base64.b64encode(os.urandom(12 * MEGABYTE))
    some = b'{"instances":[%b]}'
    return {
        "floats": json.dumps({"instances": np.round(pictures / 255, 6).tolist()}).encode(),
        "whole numbers": json.dumps({"instances": pictures.tolist()}).encode(),
        "base64": some % (b'{"b64":"%b"}' % raw),
        "base64, / escaped": some % (b'{"b64":"%b"}' % raw.replace(b"/", b"\\/")),
        "numbers in one list": some % (b"1," * 7 * MEGABYTE + b"1"),
        "lists of one number, within the bound": some % (b"[1]," * (MAX_LISTS - 10) + b"[1]"),
        "empty lists, within the bound": some % (b"[]," * (MAX_EMPTY - 10) + b"[]"),
        "empty lists, 10 million": some % (b"[]," * 10 * MEGABYTE + b"[]"),
        "brackets": b"[" * 16 * MEGABYTE,
        "digits": some % (b"1" * 16 * MEGABYTE),
        "quotes": b'"' * 16 * MEGABYTE,
        "objects, within the bound": some % (b'{"x":1.0},' * (MAX_STRINGS - 10) + b'{"x":1.0}'),
    }


def cpu_s(work: Callable[[], object]) -> float:
    """The least of some rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def verdict(body: bytes) -> str:
    """The shape, or the refusal."""
    try:
        return str(inspect("predict", body).sent)
    except PredictBodyError as error:
        return error.detail


def main() -> None:
    """Print a Markdown table."""
    print("| body | MB | ms | ms/MB | verdict |\n|---|--:|--:|--:|---|")
    for name, body in bodies().items():
        taken_ms, size = cpu_s(lambda body=body: verdict(body)) * 1000, len(body) / MEGABYTE  # type: ignore[misc]
        print(f"| {name} | {size:.2f} | {taken_ms:.1f} | {taken_ms / size:.2f} | {verdict(body)} |")


if __name__ == "__main__":
    main()
