"""What an operator may set, and the error for a wrong value."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env={"PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_UPSTREAM", "a:1, http://b:2/")
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", "https://one.example, https://two.example")
    monkeypatch.setenv("GATEWAY_IMAGE_FORMATS", "jpeg,Png")
    settings = Settings()
    assert settings.upstream_addresses == ("a:1", "b:2")
    assert settings.cors_origins == ("https://one.example", "https://two.example")
    assert settings.image_formats == ("JPEG", "PNG")


def test_a_dns_name_is_one_name() -> None:
    settings = Settings(upstream="dns://tasks.tf_model_serving:8501")
    assert settings.upstream_is_dns
    assert settings.upstream_addresses == ("tasks.tf_model_serving:8501",)
    for wrong in ("dns://a:1,b:1", "dns://a:1/2"):
        with pytest.raises(ValidationError, match="exactly one NAME:PORT"):
            Settings(upstream=wrong)


def test_an_upstream_may_name_its_grpc_port() -> None:
    assert Settings(upstream="a:8501/9000,[::1]:8501").upstream_addresses == ("a:8501/9000", "[::1]:8501")


@pytest.mark.parametrize("upstream", ["a", "a:b", ":1", "a:1/path", "a:1/2/3", "https://a:1"])
def test_an_upstream_that_is_no_address_stops_the_start(upstream: str) -> None:
    with pytest.raises(ValidationError, match="is not HOST:PORT"):
        Settings(upstream=upstream)


@pytest.mark.parametrize("upstream", ["a:99999", "a:0", "b:1,a:65536", "a:1/65536", "[::1]:99999", "dns://a:99999"])
def test_a_port_that_does_not_exist_stops_the_start(upstream: str) -> None:
    with pytest.raises(ValidationError, match="ports are 1 to 65535"):
        Settings(upstream=upstream)


@pytest.mark.parametrize("canary", ["1" * 5000 + ":5%", "1:" + "9" * 5000 + "%", "1:5"])
def test_a_canary_that_is_no_version_and_share_stops_the_start(canary: str) -> None:
    with pytest.raises(ValidationError, match="canary"):
        Settings(upstream="a:1", canary=canary)


def test_a_wrong_upstream_is_one_line_that_names_the_setting() -> None:
    ended = run("--upstream", "127.0.0.1:99999")
    assert ended.returncode == 1
    assert ended.stderr == "GATEWAY_UPSTREAM: '127.0.0.1:99999' has the port 99999; ports are 1 to 65535\n"


@pytest.mark.parametrize(
    ("flag", "value", "line"),
    [
        ("--canary", "5", "GATEWAY_CANARY: '5' is not as expected: VERSION:SHARE%, such as 1602685044:5%"),
        ("--image-formats", "foo", "GATEWAY_IMAGE_FORMATS: Input should be 'JPEG', 'PNG'"),
        ("--model-name", "a/b", "GATEWAY_MODEL_NAME: 'a/b' is not as expected: Name of the model"),
    ],
)
def test_a_wrong_value_is_shown_with_what_was_expected(flag: str, value: str, line: str) -> None:
    ended = run("--upstream", "a:1", flag, value)
    assert ended.returncode == 1
    assert ended.stderr.startswith(line)
    assert len(ended.stderr.splitlines()) == 1


def test_settings_that_contradict_each_other_are_one_line_that_names_both() -> None:
    ended = run("--upstream", "a:1", "--max-decoded-bytes", str(2**30))
    assert ended.returncode == 1
    assert ended.stderr.startswith("GATEWAY_MAX_DECODED_BYTES (1073741824) is more than GATEWAY_DECODE_BUDGET_BYTES (")
    assert len(ended.stderr.splitlines()) == 1


def test_a_wrong_setting_is_one_line_and_a_failed_start() -> None:
    ended = run(GATEWAY_PORT="0", GATEWAY_UPSTREAM="a:1")
    assert ended.returncode == 1
    assert ended.stderr == "GATEWAY_PORT: Input should be greater than or equal to 1 (it is '0')\n"


def test_a_start_without_a_model_says_how_to_get_one(tmp_path: Path) -> None:
    ended = run("--models-dir", str(tmp_path))
    assert ended.returncode == 1
    assert "python -m training demo" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_labels_that_are_not_there_stop_the_start() -> None:
    ended = run("--upstream", "a:1", "--labels-file", "/nowhere/labels.txt")
    assert (ended.returncode, ended.stderr) == (
        1,
        "GATEWAY_LABELS_FILE: Path does not point to a file (it is '/nowhere/labels.txt')\n",
    )


def test_a_mistake_in_the_label_file_is_one_line_and_a_failed_start(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes("Krebs\nMöwe\n".encode("latin-1"))
    ended = run("--upstream", "a:1", "--labels-file", str(labels))
    sentence = f"GATEWAY_LABELS_FILE: line 2 of {labels} is not UTF-8: save the file as UTF-8\n"
    assert (ended.returncode, ended.stderr) == (1, sentence)


def test_help_describes_every_setting() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')} " in ended.stdout
