"""Read the models to serve and the path of the metrics from the flags and the configuration files.

See docs/tensorflow-serving.md, "Model configuration" and "Monitoring".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.text_format import Parse, ParseError

from protocol import tensorflow_serving_pb2 as messages
from serving.standin.flags import Flags
from serving.standin.models.version_policy import All, Latest, Policy, Specific

_DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
_M = TypeVar("_M", bound=Message)


class ConfigError(ValueError):
    """The configuration cannot be used; the message is for the operator."""


@dataclass(frozen=True)
class ModelConfig:
    name: str
    base_path: Path
    policy: Policy = field(default_factory=Latest)
    labels: Mapping[str, int] = field(default_factory=dict)


def read_models(flags: Flags) -> dict[str, ModelConfig]:
    """Models by name: those of the file, or the one of the flags where there is no file.

    Raises:
        ConfigError: the file is missing or invalid.
    """
    if not flags.model_config_file:
        return {flags.model_name: ModelConfig(flags.model_name, Path(flags.model_base_path))}
    entries = _read(flags.model_config_file, messages.ModelServerConfig()).model_config_list.config
    by_name = {entry.name: _model(entry) for entry in entries}
    if len(by_name) < len(entries):
        raise ConfigError(f"{flags.model_config_file}: two models have the same name; rename one of them")
    return by_name


def read_metrics_path(flags: Flags) -> str | None:
    """The path that Prometheus scrapes; None where monitoring is off.

    Raises:
        ConfigError: the file is missing or invalid.
    """
    if not flags.monitoring_config_file:
        return None
    config = _read(flags.monitoring_config_file, messages.MonitoringConfig()).prometheus_config
    return (config.path or _DEFAULT_METRICS_PATH) if config.enable else None


def _read(path: str, message: _M) -> _M:
    """Parse the text format of protocol buffers. Undeclared fields are ignored."""
    try:
        return Parse(Path(path).read_text(encoding="utf-8"), message, allow_unknown_field=True)
    except (OSError, UnicodeDecodeError, ParseError, RecursionError) as cause:
        raise ConfigError(f"{path}: {cause}") from cause


def _model(entry: messages.ModelConfig) -> ModelConfig:
    if not entry.name or not entry.base_path:
        raise ConfigError(f"a model needs a name and a base_path; this one has not both: {entry}")
    if entry.model_platform not in ("", "tensorflow"):
        raise ConfigError(f"model {entry.name}: its model_platform must be tensorflow, not {entry.model_platform}")
    policy = _policy(entry.model_version_policy)
    return ModelConfig(entry.name, Path(entry.base_path), policy, dict(entry.version_labels))


def _policy(policy: messages.ServableVersionPolicy) -> Policy:
    match policy.WhichOneof("policy_choice"):
        case "specific":
            return Specific(frozenset(policy.specific.versions))
        case "all":
            return All()
    return Latest(max(1, policy.latest.num_versions))
