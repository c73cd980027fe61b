from pathlib import Path

import pytest

from serving.standin.flags import Flags
from serving.standin.model_config import ConfigError, ModelConfig, read_metrics_path, read_models
from serving.standin.text_proto import TextProtoError, parse_text_proto
from serving.standin.version_policy import All, Latest, Specific


def models(tmp_path: Path, text: str) -> dict[str, ModelConfig]:
    (tmp_path / "models.config").write_text(text)
    return read_models(Flags(model_config_file=str(tmp_path / "models.config")))


def config(rest: str = "", name: str = "m") -> str:
    return f'model_config_list {{ config {{ name: "{name}" base_path: "/{name}" {rest} }} }}'


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
        (config() + config(), "two models of one name"),
        ("model_config_list { config { } }", "needs a name and a base_path"),
        (config('model_platform: "caffe"'), "only model_platform tensorflow"),
        (config("model_version_policy: 5"), "wrong kind"),
        ("model_config_list {", "line 1: unexpected 'end of file'"),
        ("\n\nmodel_config_list }", "line 3: unexpected '}'"),
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


def test_the_text_format_has_comments_escapes_and_strings_in_pieces() -> None:
    assert parse_text_proto("# a\na: 'x\\ty' \"z\" # b\nb: -1.5e3 c: true d: NAME") == {
        "a": ["x\tyz"],
        "b": [-1500.0],
        "c": [True],
        "d": ["NAME"],
    }


@pytest.mark.parametrize("text", ["a: [1", "a {", "1: 2", "a: }", "a: $"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(TextProtoError):
        parse_text_proto(text)
