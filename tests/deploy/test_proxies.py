"""The example configurations of proxies agree with the gateway's own limits."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from gateway.settings import MIB, Settings
from tests.documents import ROOT

PROXIES = ROOT / "deploy/proxies"
LARGEST = Settings.model_fields["max_batch_bytes"].default
DEADLINE_S = Settings.model_fields["deadline_s"].default


def test_nginx_lets_the_largest_batch_through_and_waits_longer_than_the_gateway() -> None:
    text = (PROXIES / "nginx.conf").read_text(encoding="utf-8")
    (size,) = re.findall(r"client_max_body_size (\d+)m;", text)
    (wait_s,) = re.findall(r"proxy_read_timeout (\d+)s;", text)
    assert (int(size) * MIB, int(wait_s) > DEADLINE_S) == (LARGEST, True)


def test_caddy_lets_the_largest_batch_through_and_waits_longer_than_the_gateway() -> None:
    text = (PROXIES / "Caddyfile").read_text(encoding="utf-8")
    (size,) = re.findall(r"max_size (\d+)MiB", text)
    (wait_s,) = re.findall(r"response_header_timeout (\d+)s", text)
    assert (int(size) * MIB, int(wait_s) > DEADLINE_S) == (LARGEST, True)


def test_traefik_lets_the_largest_batch_through_and_waits_longer_than_the_gateway() -> None:
    http = yaml.safe_load((PROXIES / "traefik.yml").read_text(encoding="utf-8"))["http"]
    buffering = http["middlewares"]["upload-limit"]["buffering"]
    timeouts = http["serversTransports"]["specimen"]["forwardingTimeouts"]
    assert buffering["maxRequestBodyBytes"] == LARGEST
    assert int(timeouts["responseHeaderTimeout"].removesuffix("s")) > DEADLINE_S


def test_caddy_accepts_its_file(tmp_path: Path) -> None:
    if not (caddy := shutil.which("caddy")):
        pytest.skip("no caddy on this machine")
    plain = (PROXIES / "Caddyfile").read_text(encoding="utf-8").replace("specimen.example.org {", ":18099 {")
    (tmp_path / "Caddyfile").write_text(plain, encoding="utf-8")
    command = [caddy, "validate", "--config", str(tmp_path / "Caddyfile"), "--adapter", "caddyfile"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)})
    assert checked.returncode == 0, checked.stderr
