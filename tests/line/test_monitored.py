"""Alert rules and dashboard ask for metrics that a running gateway and its replicas really have."""

import re
from pathlib import Path

import httpx
import pytest

from benchmarks.line import Line
from tests import pictures
from tests.deploy.test_monitoring import METRIC, expressions
from tests.documents import ROOT
from tests.line.conftest import client_of
from tests.serving.servers import running


@pytest.mark.slow
def test_every_metric_that_is_used_exists_on_a_running_gateway_and_its_replicas(line: Line, demo_models: Path) -> None:
    with client_of(line) as client:
        assert client.post("/v1/classify", files={"image": ("a", pictures.jpeg())}).status_code == 200
        assert client.post("/v1/classify", files={"image": ("a", b"no picture")}).status_code == 415
        scraped = client.get("/metrics").text
    flags = ("--model_name=my_model", f"--model_base_path={demo_models / 'my_model'}")
    with running(demo_models, *flags, f"--monitoring_config_file={ROOT / 'serving/monitoring.config'}") as replica:
        body = {"signature_name": "serving_default", "instances": [[[[0.5] * 3] * 224] * 224]}
        assert replica.predict(body, "my_model")[0] == 200
        scraped += httpx.get(f"http://127.0.0.1:{replica.port}/monitoring/prometheus/metrics", timeout=60).text
    there = set(re.findall(r"^([\w:]+)", scraped, re.MULTILINE)) | set(
        re.findall(r"^# TYPE (\S+)", scraped, re.MULTILINE)
    )
    used = {name for text in expressions() for name in METRIC.findall(text)}
    assert used
    assert used <= there
    for text in expressions():
        for metric in METRIC.findall(text):
            series = "\n".join(re.findall(rf"^{metric}\{{.*", scraped, re.MULTILINE))
            wanted = {label for labels in re.findall(r"by \(([^)]*)\)", text) for label in labels.split(", ")}
            for label in wanted - {"instance"}:  # Prometheus adds it
                assert not series or f'{label}="' in series, (metric, label)
