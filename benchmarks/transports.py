"""`python -m benchmarks.transports`: the cost of one attempt at a replica over REST and over gRPC.

Machines are noisy, so both clients of the gateway call the same model server alternately: compare only the columns of
one run. CPU is counted for this process, which runs nothing else, and for the model server.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import uvloop

from gateway.failures import ReplicaError
from gateway.imaging import Pixels, fingerprint
from gateway.observe import logs
from gateway.replicas.embedded import Embedded
from gateway.tfserving import TFServing
from gateway.tfserving.contract import DESCRIBE, ServedModel, Terms, accept
from gateway.tfserving.grpc import GrpcClient
from gateway.tfserving.rest import RestClient

START_WITHIN_S = 120


@dataclass
class Turns:
    """The results of one client so far, in milliseconds: one figure per turn (CPU) or per call (latency)."""

    client: TFServing
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


def main() -> None:
    """Measure, and print a Markdown table for each number of calls in flight."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transports")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder that contains my_model/VERSION")
    parser.add_argument("--calls", type=int, default=100, help="calls per turn")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each client")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 8], help="concurrent calls")
    parser.add_argument("--signature", default="", help="signature to call; serving_default sends floats")
    logs.configure("text", "warning")
    uvloop.run(_measure(parser.parse_args()))


async def _measure(arguments: argparse.Namespace) -> None:
    rest = RestClient()
    async with (
        Embedded(1, models_dir=arguments.models, model_name="my_model") as servers,
        GrpcClient(rest) as over_grpc,
    ):
        (address,) = await servers.addresses()
        model = await _served(over_grpc, address, arguments.signature)
        for in_flight in arguments.in_flight:
            both = [Turns(rest), Turns(over_grpc)]
            for turns in both:
                await _turn(Turns(turns.client), address, model, 20, in_flight)  # warm
            for _ in range(arguments.rounds):
                for turns in both:
                    await _turn(turns, address, model, arguments.calls, in_flight)
            _print(both, in_flight, model)


async def _served(client: TFServing, address: str, signature: str) -> ServedModel:
    """Wait for the model, and accept its contract."""
    async with asyncio.timeout(START_WITHIN_S):
        version = await _version(client, address)
    signatures = await client.signatures(address, "my_model", version)
    described = await client.describe(address, "my_model", version) if DESCRIBE in signatures else None
    return accept(str(version), signatures, described, Terms("my_model", fingerprint(), signature=signature))


async def _version(client: TFServing, address: str) -> int:
    while True:
        with suppress(ReplicaError):
            return max(await client.status(address, "my_model"))
        await asyncio.sleep(0.1)


async def _turn(turns: Turns, address: str, model: ServedModel, calls: int, in_flight: int) -> None:
    pixels: Pixels = np.random.default_rng(7).integers(0, 256, (224, 224, 3), np.uint8)
    left = iter(range(calls))

    async def keep_calling() -> None:
        for _ in left:
            started = time.perf_counter()
            await turns.client.predict(address, model, pixels, timeout_s=30)
            turns.latencies.append((time.perf_counter() - started) * 1000)

    ours, theirs = time.process_time(), _children_s()
    await asyncio.gather(*(keep_calling() for _ in range(in_flight)))
    turns.ours.append((time.process_time() - ours) / calls * 1000)
    turns.theirs.append((_children_s() - theirs) / calls * 1000)


def _children_s() -> float:
    times = [child.cpu_times() for child in psutil.Process().children()]
    return float(sum(each.user + each.system for each in times))


def _print(both: list[Turns], in_flight: int, model: ServedModel) -> None:
    rows: list[tuple[str, Callable[[Turns], float]]] = [
        ("gateway's side, CPU per call", lambda turns: median(turns.ours)),
        ("model server, CPU per call", lambda turns: median(turns.theirs)),
        ("latency p50", lambda turns: median(turns.latencies)),
        ("latency p99", lambda turns: sorted(turns.latencies)[int(len(turns.latencies) * 0.99)]),
    ]
    print(f"\n{model.signature}, {in_flight} in flight\n\n| what | REST | gRPC |\n|---|--:|--:|")
    for what, figure in rows:
        print(f"| {what} | {' | '.join(f'{figure(turns):.2f} ms' for turns in both)} |")


if __name__ == "__main__":
    main()
