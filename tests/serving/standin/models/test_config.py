from pathlib import Path

import pytest

from serving.standin.flags import Flags
from serving.standin.models.config import ConfigError, ModelConfig, read_metrics_path, read_models
from serving.standin.models.version_policy import All, Latest, Specific


def models(tmp_path: Path, text: str) -> dict[str, ModelConfig]:
    (tmp_path / "models.config").write_text(text)
    return read_models(Flags(model_config_file=str(tmp_path / "models.config")))


def config(rest: str = "", name: str = "m") -> str:
    return f'model_config_list {{ config {{ name: "{name}" base_path: "/{name}" {rest} }} }}'


ENTRY = 'config { name: "m" base_path: "/m" }'


def test_without_a_file_the_flags_name_the_one_model() -> None:
    assert read_models(Flags(model_name="m", model_base_path="/m")) == {"m": ModelConfig("m", Path("/m"))}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", Latest(1)),
        ("model_version_policy { latest { num_versions: 2 } }", Latest(2)),
        ("model_version_policy: { all {} }", All()),
        ("model_version_policy { specific { versions: 1 versions: 3 } }", Specific(frozenset({1, 3}))),
        ("model_version_policy { specific < versions: [1, 3] > }", Specific(frozenset({1, 3}))),
    ],
)
def test_a_model_says_which_versions_it_wants(tmp_path: Path, policy: str, expected: object) -> None:
    assert models(tmp_path, config(policy))["m"].policy == expected


def test_labels_stand_for_versions(tmp_path: Path) -> None:
    text = config('version_labels { key: "stable" value: 1 }; version_labels { key: "canary" value: 2 },')
    assert models(tmp_path, text)["m"].labels == {"stable": 1, "canary": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"model_config_list {{ {ENTRY} {ENTRY} }}", "two models have the same name"),
        ("model_config_list { config { } }", "needs a name and a base_path"),
        (config('model_platform: "caffe"'), "its model_platform must be tensorflow, not caffe"),
        (config("model_version_policy: 5"), r"models\.config: 1:78 : .*Expected"),
        (config() + config(), 'should not have multiple "model_config_list"'),
        ("model_config_list {", r"models\.config: 1:"),
        ("\n\nmodel_config_list }", r"models\.config: 3:19 : .*Expected"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models(tmp_path, text)


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_models(Flags(model_config_file="/nowhere/models.config"))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { enable: false }", None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ("prometheus_config { enable: true, path: '/m' }", "/m"),
    ],
)
def test_metrics_are_where_the_monitoring_file_says(tmp_path: Path, text: str, path: str | None) -> None:
    (tmp_path / "monitoring.config").write_text(text)
    assert read_metrics_path(Flags(monitoring_config_file=str(tmp_path / "monitoring.config"))) == path


def test_the_text_format_has_comments_escapes_and_strings_in_pieces(tmp_path: Path) -> None:
    text = "# a\nmodel_config_list: { config: { name: 'x\\ty' \"z\" # b\nbase_path: '/m' } }"
    assert models(tmp_path, text) == {"x\tyz": ModelConfig("x\tyz", Path("/m"))}


def test_fields_of_the_real_server_that_have_no_effect_here_are_ignored(tmp_path: Path) -> None:
    rest = 'logging_config { sampling_config { sampling_rate: 1.5e-3 } } model_type: TENSORFLOW other: [1, "a"]'
    assert models(tmp_path, config(rest)) == {"m": ModelConfig("m", Path("/m"))}


@pytest.mark.parametrize("text", ["a: [1", "a {", ": 2", "a: }", "a: $", config("version_labels { value: yes }")])
def test_other_text_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"models\.config: "):
        models(tmp_path, text)
