"""Alert rules and dashboard ask for metrics that a running gateway and its replicas really have."""

import re

import httpx
import pytest

from benchmarks.line import Line
from tests import pictures
from tests.deploy.test_monitoring import METRIC, expressions
from tests.line.conftest import client_of


@pytest.mark.slow
def test_every_metric_that_is_used_exists_on_a_running_gateway_and_its_replicas(line: Line) -> None:
    with client_of(line) as client:
        assert client.post("/v1/classify", files={"image": ("a", pictures.jpeg())}).status_code == 200
        assert client.post("/v1/classify", files={"image": ("a", b"no picture")}).status_code == 415
        (replica, *_) = [found["address"] for found in client.get("/v1/models").json()["replicas"] if found["attempts"]]
        scraped = client.get("/metrics").text + httpx.get(f"http://{replica}/monitoring/prometheus/metrics").text
    there = set(re.findall(r"^([\w:]+)", scraped, re.MULTILINE)) | set(
        re.findall(r"^# TYPE (\S+)", scraped, re.MULTILINE)
    )
    used = {name for text in expressions() for name in METRIC.findall(text)}
    assert used
    assert used <= there
