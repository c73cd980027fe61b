"""What a running gateway owns, opened and closed here, in order."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from fastapi import Request

from gateway import imaging
from gateway.admission import Shares
from gateway.auth import caller_of
from gateway.decoding.pool import Decoders
from gateway.decoding.processes import Processes
from gateway.decoding.protocol import Limits
from gateway.http.lifecycle import Lifecycle
from gateway.label_file import read_label_file
from gateway.observe.lag import LagProbe
from gateway.replicas.acceptance import Acceptance
from gateway.replicas.balancing import balancing
from gateway.replicas.discovery import Discovery, Listed, Resolved
from gateway.replicas.dispatch import Dispatcher
from gateway.replicas.embedded import Embedded
from gateway.replicas.events import Events
from gateway.replicas.health import Health
from gateway.replicas.pool import Pool
from gateway.replicas.versions import Canary, Versions
from gateway.settings import Settings
from gateway.tfserving import TFServing
from gateway.tfserving.contract import Terms
from gateway.tfserving.inspection import Document, Verb, inspect
from gateway.tfserving.rest import RestClient, Transport

INSPECTED_AT_ONCE_BYTES = 256 * 1024
"""Bodies up to this size take less than a millisecond; to wake a thread for them would take as long."""


@dataclass(frozen=True)
class Services:
    """Everything a route may use."""

    settings: Settings
    pool: Pool
    health: Health
    discovery: Discovery
    dispatcher: Dispatcher
    versions: Versions
    decoders: Decoders
    batch_places: Shares
    """For pictures of batches in progress, all batches together."""
    inspections: ThreadPoolExecutor
    """The thread that reads the structure of large bodies of TensorFlow Serving's paths."""

    def clock(self) -> float:
        """Monotonic, in seconds: the event loop's, which deadlines are measured on."""
        return asyncio.get_running_loop().time()

    async def inspect(self, verb: Verb, body: bytes) -> Document:
        """What the body of a call on TensorFlow Serving's paths holds; a large one is read off the event loop.

        Raises:
            PredictBodyError: it must not be passed on.
        """
        if len(body) <= INSPECTED_AT_ONCE_BYTES:
            return inspect(verb, body)
        return await asyncio.get_running_loop().run_in_executor(self.inspections, inspect, verb, body)

    def deadline(self) -> float:
        """When a request whose upload is in now must be answered."""
        return self.clock() + self.settings.deadline_s


@asynccontextmanager
async def running(settings: Settings, transport: Transport | None = None) -> AsyncIterator[Services]:
    """A gateway's services, for as long as the block runs.

    Args:
        transport: the wire to the replicas; tests put scripted replicas there.
    """
    async with AsyncExitStack() as stack:
        discovery = await _discovery(settings, stack)
        client = await stack.enter_async_context(_client(settings, transport))
        clock = asyncio.get_running_loop().time
        lag, canary = LagProbe(clock), _canary(settings)
        pool = Pool(
            max_in_flight=settings.replica_max_in_flight,
            queue_size=settings.queue_size,
            max_ejected_share=settings.max_ejected_share,
            balancing=balancing(settings.balancer, slow_start_s=settings.slow_start_s),
            held_back=canary.version if canary else None,
        )
        Events(pool, clock)
        acceptance = Acceptance(pool, client, _terms(settings), clock=clock, timeout_s=settings.attempt_timeout_s)
        health = Health(
            pool,
            client,
            acceptance,
            discovery,
            lag,
            clock=clock,
            model_name=settings.model_name,
            interval_s=settings.probe_interval_s,
            timeout_s=settings.probe_timeout_s,
        )
        dispatcher = Dispatcher(
            pool,
            client,
            lag,
            clock=clock,
            queue_wait_s=settings.queue_wait_s,
            attempt_timeout_s=settings.attempt_timeout_s,
            hedge=settings.hedge,
            refresh=health.probe,
            look_again=health.look_again,
        )
        stack.push_async_callback(dispatcher.close)
        decoders = await _decoders(settings, stack)
        for endless in (health.run(), lag.run()):
            stack.push_async_callback(_cancelled, asyncio.create_task(endless))
        versions = Versions(
            dispatcher.forward,
            model_name=settings.model_name,
            canary=canary,
            caller_of=partial(caller_of, trusted=settings.trusted_proxies),
        )
        batch_places = Shares(settings.max_in_flight)
        inspections = ThreadPoolExecutor(1, "inspection")
        stack.callback(inspections.shutdown, wait=False, cancel_futures=True)
        yield Services(settings, pool, health, discovery, dispatcher, versions, decoders, batch_places, inspections)


def _client(settings: Settings, transport: Transport | None) -> TFServing:
    rest = RestClient(transport, connect_timeout_s=settings.connect_timeout_s)
    if settings.transport == "rest":
        return rest
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes lines of its own about every broken connection
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # our children exec at once; it would pause its threads
    from gateway.tfserving.grpc import GrpcClient  # here, because REST can do without its threads and its memory

    return GrpcClient(rest, usual_port=settings.grpc_port, connect_timeout_s=settings.connect_timeout_s)


async def _discovery(settings: Settings, stack: AsyncExitStack) -> Discovery:
    if settings.upstream_is_dns:
        clock = asyncio.get_running_loop().time
        return Resolved(settings.upstream_addresses[0], refresh_s=settings.dns_refresh_s, clock=clock)
    if settings.upstream_addresses:
        return Listed(settings.upstream_addresses)
    embedded = Embedded(settings.embedded_replicas, models_dir=settings.models_dir, model_name=settings.model_name)
    return await stack.enter_async_context(embedded)


async def _decoders(settings: Settings, stack: AsyncExitStack) -> Decoders:
    limits = Limits(
        settings.image_formats, settings.max_decoded_bytes, settings.max_upload_bytes, settings.decode_cpu_s
    )
    decoders = Decoders(
        await stack.enter_async_context(Processes(limits, timeout_s=settings.decode_timeout_s)),
        count=settings.decode_processes,
        budget_bytes=settings.decode_budget_bytes,
        wait_s=settings.decode_wait_s,
    )
    stack.callback(decoders.close)
    return decoders


def _terms(settings: Settings) -> Terms:
    return Terms(
        model_name=settings.model_name,
        fingerprint=imaging.fingerprint(),
        foreign_labels=read_label_file(settings.labels_file) if settings.labels_file else None,
        foreign_range=settings.input_range,
        signature=settings.signature,
    )


def _canary(settings: Settings) -> Canary | None:
    if not settings.canary:
        return None
    version, _, percent = settings.canary.partition(":")
    return Canary(str(int(version)), float(percent.rstrip("%")) / 100)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def services_of(request: Request) -> Services:
    """The services of the app that this request came to; here and below, the framework's untyped state is read.

    No dependency of FastAPI's: to be handed what is there anyway would cost each upload 0.1 ms.
    """
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


def lifecycle_of(request: Request) -> Lifecycle:
    """Has this gateway been told to stop?"""
    lifecycle = request.app.state.lifecycle
    assert isinstance(lifecycle, Lifecycle)
    return lifecycle
