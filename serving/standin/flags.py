"""The command line of tensorflow_model_server, so that one set of flags starts either server.

Flags have the form `--name=value`; a boolean flag may omit the value. The last of several values wins. An unknown flag
prints the usage and has no other effect (docs/tensorflow-serving.md, "Flags").
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Flags:
    """Names and defaults are the real server's. A group of flags that the stand-in ignores says so in a comment."""

    port: int = 8500  # 0: no gRPC
    grpc_socket_path: str = ""
    grpc_channel_arguments: str = ""
    grpc_max_threads: int = 0  # 0: four for each CPU
    enable_grpc_healthcheck_service: bool = False
    enable_serialization_as_tensor_content: bool = False
    rest_api_port: int = 0
    rest_api_num_threads: int = 0  # 0: four for each CPU
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: int = 1
    allow_version_labels_for_unavailable_models: bool = False
    num_load_threads: int = 0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    monitoring_config_file: str = ""
    saved_model_tags: str = "serve"
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    version: bool = False
    help: bool = False
    # Accepted without effect because the stand-in does not implement them; a warning at the start names those in use
    ssl_config_file: str = ""
    use_alts_credentials: bool = False
    enable_batching: bool = False
    batching_parameters_file: str = ""
    enable_per_model_batching_parameters: bool = False
    tensorflow_session_config_file: str = ""
    platform_config_file: str = ""
    per_process_gpu_memory_fraction: float = 0.0
    prefer_tflite_model: bool = False
    num_tflite_pools: int = 0
    num_tflite_interpreters_per_pool: int = 1
    xla_cpu_compilation_enabled: bool = False
    xla_gpu_compilation_enabled: bool = False
    mixed_precision: str = ""
    enable_signature_method_name_check: bool = False
    thread_pool_factory_config_file: str = ""
    # Accepted without effect because they make no difference here
    num_unload_threads: int = 0
    flush_filesystem_caches: bool = True
    remove_unused_fields_from_bundle_metagraph: bool = True
    enable_profiler: bool = True
    skip_initialize_tpu: bool = False


NOT_IMPLEMENTED = (
    "ssl_config_file",
    "use_alts_credentials",
    "enable_batching",
    "enable_per_model_batching_parameters",
    "tensorflow_session_config_file",
    "platform_config_file",
    "per_process_gpu_memory_fraction",
    "prefer_tflite_model",
    "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
    "mixed_precision",
    "enable_signature_method_name_check",
    "thread_pool_factory_config_file",
)
"""Flags that change answers or speed in the real server, but not here."""


class FlagError(ValueError):
    """A flag has an invalid value, or flags exclude each other; the server does not start."""


def parse_flags(arguments: Sequence[str]) -> tuple[Flags, list[str]]:
    """The flags, and the arguments that are not flags.

    Raises:
        FlagError: the message is for the operator.
    """
    found: dict[str, Any] = {}
    unknown: list[str] = []
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        kind = _KINDS.get(name)
        if not argument.startswith("--") or kind is None or (not equals and kind is not bool):
            unknown.append(argument)
        else:
            found[name] = _read(name, kind, value if equals else "true")
    return _checked(Flags(**found)), unknown


def _checked(flags: Flags) -> Flags:
    if flags.version or flags.help:
        return flags
    if not flags.model_base_path and not flags.model_config_file:
        raise FlagError("set --model_base_path or --model_config_file: one of them must say what to serve")
    if not 0 < flags.rest_api_port < 1 << 16:
        raise FlagError("--rest_api_port must name a port, 1 to 65535: the stand-in always serves REST")
    if not 0 <= flags.port < 1 << 16:
        raise FlagError("--port must name a port, 1 to 65535, or be 0, which turns gRPC off")
    channel_arguments(flags)
    if flags.batching_parameters_file and not flags.enable_batching:
        raise FlagError("--batching_parameters_file is set without --enable_batching; set both or neither")
    parallelism = (
        flags.tensorflow_session_parallelism,
        flags.tensorflow_intra_op_parallelism,
        flags.tensorflow_inter_op_parallelism,
    )
    if all(threads > 0 for threads in parallelism):
        raise FlagError(
            "--tensorflow_session_parallelism excludes --tensorflow_intra_op_parallelism and"
            " --tensorflow_inter_op_parallelism; set it or those two"
        )
    return flags


def _read(name: str, kind: type, value: str) -> object:
    try:
        if kind is bool:
            return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        return _integer(value, 64 if name in _64_BITS else 32) if kind is int else kind(value)
    except (KeyError, ValueError) as cause:
        raise FlagError(f"Couldn't interpret value {value} for flag {name}.") from cause


def _integer(text: str, bits: int) -> int:
    value = int(text)
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise ValueError(f"{value} does not fit {bits} bits")
    return value


_64_BITS = ("load_retry_interval_micros",)
_KINDS: dict[str, type] = {flag.name: type(flag.default) for flag in fields(Flags)}


def channel_arguments(flags: Flags) -> list[tuple[str, int | str]]:
    """Names and values in --grpc_channel_arguments, which has the form `a=1,b=text`.

    Raises:
        FlagError: an argument has no value.
    """
    found: list[tuple[str, int | str]] = []
    for part in filter(None, flags.grpc_channel_arguments.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise FlagError(f"--grpc_channel_arguments: {part} has no value; write {part}=VALUE")
        found.append((name, int(value) if value.lstrip("-").isdecimal() else value))
    return found


def usage(program: str) -> str:
    flags = (f"\t--{flag.name}={flag.default!s:20}\t{type(flag.default).__name__}" for flag in fields(Flags))
    return "\n".join([f"usage: {program}", "Flags:", *flags])
