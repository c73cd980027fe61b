"""Which models to serve, and where monitoring is found: flags and configuration files -> values.

Source: docs/tensorflow-serving.md, "Model configuration" and "Monitoring".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from serving.standin.flags import Flags
from serving.standin.text_proto import Message, TextProtoError, Value, parse_text_proto
from serving.standin.version_policy import All, Latest, Policy, Specific

_DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
T = TypeVar("T", bound=Value)


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is for the operator."""


@dataclass(frozen=True)
class ModelConfig:
    name: str
    base_path: Path
    policy: Policy = field(default_factory=Latest)
    labels: Mapping[str, int] = field(default_factory=dict)


def read_models(flags: Flags) -> dict[str, ModelConfig]:
    """By name: those of the file or, without one, the single model of the flags.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    if not flags.model_config_file:
        return {flags.model_name: ModelConfig(flags.model_name, Path(flags.model_base_path))}
    lists = _all(_read(flags.model_config_file), "model_config_list", dict)
    models = [_model(entry) for one in lists for entry in _all(one, "config", dict)]
    by_name = {model.name: model for model in models}
    if len(by_name) < len(models):
        raise ConfigError(f"{flags.model_config_file}: two models of one name")
    return by_name


def read_metrics_path(flags: Flags) -> str | None:
    """Where to answer Prometheus; None where monitoring is off.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    if not flags.monitoring_config_file:
        return None
    config: Message = _last(_read(flags.monitoring_config_file), "prometheus_config", {})
    return _last(config, "path", _DEFAULT_METRICS_PATH) if _last(config, "enable", False) else None


def _read(path: str) -> Message:
    try:
        return parse_text_proto(Path(path).read_text())
    except (OSError, UnicodeDecodeError, TextProtoError) as cause:
        raise ConfigError(f"{path}: {cause}") from cause


def _model(entry: Message) -> ModelConfig:
    name, base_path = _last(entry, "name", ""), _last(entry, "base_path", "")
    if not name or not base_path:
        raise ConfigError(f"a model needs a name and a base_path: {entry}")
    if _last(entry, "model_platform", "tensorflow") != "tensorflow":
        raise ConfigError(f"model {name}: only model_platform tensorflow is served")
    labels = {_last(label, "key", ""): _last(label, "value", 0) for label in _all(entry, "version_labels", dict)}
    return ModelConfig(name, Path(base_path), _policy(_last(entry, "model_version_policy", {})), labels)


def _policy(entry: Message) -> Policy:
    if "specific" in entry:
        return Specific(frozenset(_all(_last(entry, "specific", {}), "versions", int)))
    if "all" in entry:
        return All()
    return Latest(_last(_last(entry, "latest", {}), "num_versions", 1))


def _all(message: Message, name: str, kind: type[T]) -> list[T]:
    values = message.get(name, [])
    if not all(isinstance(value, kind) for value in values):
        raise ConfigError(f"{name} has a value of the wrong kind")
    return [value for value in values if isinstance(value, kind)]


def _last(message: Message, name: str, default: T) -> T:
    return [default, *_all(message, name, type(default))][-1]
