"""Start the stand-in: parse the flags, bind the port, load TensorFlow and the models, then accept connections.

The order is the real server's (docs/tensorflow-serving.md, "Start"): a port that accepts a connection can serve.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from serving.standin.engine.tensorflow_c import Library
from serving.standin.flags import NOT_IMPLEMENTED, FlagError, Flags, channel_arguments, parse_flags, usage
from serving.standin.grpc.methods import GrpcApi
from serving.standin.grpc.server import GrpcServer
from serving.standin.http.routes import RestApi
from serving.standin.http.server import HttpServer, bind
from serving.standin.models.catalog import Catalog
from serving.standin.models.config import ConfigError, read_metrics_path, read_models
from serving.standin.models.manager import ManagerOptions, StartError, VersionManager
from serving.standin.models.servable import Runtime, Servable
from serving.standin.models.version_policy import Retries
from serving.standin.models.warmup import warm_up
from serving.standin.monitoring import Metrics

log = logging.getLogger("serving.standin")

_GRACE_S = 30.0
"""How long requests in progress may take after SIGTERM."""
_FAILED = 255
"""Exit status of the real server, which returns -1 from `main`."""


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s standin: %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        flags, unknown = parse_flags(sys.argv[1:])
        if unknown or flags.help:
            print(usage("python -m serving.standin"))  # noqa: T201
        if flags.version:
            print(f"TensorFlow ModelServer: stand-in\nTensorFlow Library: {Library().version}")  # noqa: T201
        if flags.help or flags.version:
            return 0
        return _start(flags)
    except (FlagError, ConfigError, StartError, ImportError, OSError) as error:
        log.error("Failed to start server. Error: %s", error)
    return _FAILED


def _start(flags: Flags) -> int:
    for name in NOT_IMPLEMENTED:
        if getattr(flags, name):
            log.warning("--%s has no effect: the stand-in does not implement it", name)
    try:
        listener = bind(os.environ.get("STANDIN_HOST", ""), flags.rest_api_port)
    except OSError as error:
        log.error("Failed to start server. Error: port %d cannot be used: %s", flags.rest_api_port, error)
        return _FAILED
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(flags, listener))
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop, or asyncio's own loop where uvloop is not installed, as on Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(flags: Flags, listener: socket.socket) -> None:
    stop = asyncio.create_task(_stop_signal().wait())
    gc.set_threshold(100_000, 50, 1000)  # a request's lists have no cycles: half a million took 130 ms, and take 40
    metrics, catalog = Metrics(), Catalog()
    manager = _manager(flags, catalog, metrics)
    server = HttpServer(_rest_api(flags, manager, catalog, metrics).answer)
    grpc_server = _grpc_server(flags, manager, catalog, metrics)
    manager.start()
    ready = asyncio.create_task(asyncio.to_thread(manager.wait_until_serving))
    await asyncio.wait({stop, ready}, return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        ready.result()
        grpc_server.start(_grpc_addresses(flags))
        await server.start(listener)
        log.info("Exporting HTTP/REST API at:localhost:%d ...", flags.rest_api_port)
        await stop
        manager.stop()
        log.info("Finishing %d connections", len(server.connections))
        await asyncio.gather(server.stop(_GRACE_S), asyncio.to_thread(grpc_server.stop, _GRACE_S))
    _exit(0)


def _stop_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT."""
    received = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, received.set)
    return received


def _rest_api(flags: Flags, manager: VersionManager, catalog: Catalog, metrics: Metrics) -> RestApi:
    return RestApi(
        manager,
        catalog,
        metrics,
        workers=flags.rest_api_num_threads or 4 * _cpus(),
        cors=flags.rest_api_enable_cors_support,
        metrics_path=read_metrics_path(flags),
    )


def _grpc_server(flags: Flags, manager: VersionManager, catalog: Catalog, metrics: Metrics) -> GrpcServer:
    return GrpcServer(
        GrpcApi(manager, catalog, metrics, as_content=flags.enable_serialization_as_tensor_content),
        threads=flags.grpc_max_threads or 4 * _cpus(),
        healthcheck=flags.enable_grpc_healthcheck_service,
        options=channel_arguments(flags),
    )


def _grpc_addresses(flags: Flags) -> list[str]:
    """Without STANDIN_HOST all IPv4 addresses, as in the real server."""
    host = os.environ.get("STANDIN_HOST", "") or "0.0.0.0"  # noqa: S104  # as the real server does
    port = [f"[{host}]:{flags.port}" if ":" in host else f"{host}:{flags.port}"] if flags.port else []
    return port + ([f"unix:{flags.grpc_socket_path}"] if flags.grpc_socket_path else [])


def _manager(flags: Flags, catalog: Catalog, metrics: Metrics) -> VersionManager:
    options = ManagerOptions(
        scan_every_s=flags.file_system_poll_wait_seconds,
        reread_config_every_s=flags.model_config_file_poll_wait_seconds,
        retries=Retries(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6),
        loads_at_once=flags.num_load_threads or 4 * _cpus(),
        label_unavailable_versions=flags.allow_version_labels_for_unavailable_models,
    )
    load = partial(_load, flags, _runtime(flags), metrics)
    return VersionManager(catalog, load, partial(read_models, flags), options)


def _runtime(flags: Flags) -> Runtime:
    threads = flags.tensorflow_session_parallelism
    inter_op_threads = flags.tensorflow_inter_op_parallelism or threads
    return Runtime(
        Library(),
        intra_op_threads=flags.tensorflow_intra_op_parallelism or threads,
        inter_op_threads=inter_op_threads,
        timeout_ms=flags.rest_api_timeout_in_ms,
        max_runs=inter_op_threads or max(2, _cpus()),
    )


def _load(flags: Flags, runtime: Runtime, metrics: Metrics, export: Path) -> Servable:
    with metrics.timed(":tensorflow:cc:saved_model:load_latency", model_path=str(export)):
        servable = runtime.load(export, flags.saved_model_tags.split(","))
    if flags.enable_model_warmup:
        warm_up(servable, export, flags.num_request_iterations_for_warmup)
    return servable


def _cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _exit(code: int) -> None:
    """End the process without clean-up: TensorFlow's threads may still run, and destroying what they use can crash."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    _exit(main())
