"""Checks of the Dockerfiles that need no build."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.app import VERSION
from tests.documents import ROOT

DOCKERFILES = sorted(ROOT.glob("*/*Dockerfile"))


def stages(dockerfile: Path) -> dict[str, str]:
    """Name of each stage to its text; the last one is called `last` where it has no name."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts = re.split(r"^FROM (\S+)(?: AS (\S+))?\n", text, flags=re.MULTILINE)
    return {parts[k + 1] or "last": f"FROM {parts[k]}\n{parts[k + 2].strip()}" for k in range(1, len(parts), 3)}


@pytest.mark.parametrize("stage", ["lock", "tensorflow", "training"])
def test_stages_of_one_name_are_the_same_so_that_the_builder_makes_them_once(stage: str) -> None:
    texts = {
        file.name: stages(file)[stage] for file in DOCKERFILES if "tensorflow" in stages(file) and stage in stages(file)
    }
    assert len(set(texts.values())) == 1, texts.keys()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_an_image_runs_as_a_number_that_is_not_root_and_says_what_it_is(dockerfile: Path) -> None:
    last = stages(dockerfile)["last"]
    user = re.findall(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user, "USER must be a number, so that Kubernetes can see that it is not root"
    assert user[-1][0] != "0"
    for label in ("title", "description", "licenses"):
        assert f"org.opencontainers.image.{label}=" in last
    assert f'org.opencontainers.image.version="{VERSION}"' in last


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_change_of_code_renews_the_last_layer_alone(dockerfile: Path) -> None:
    *_, entry, final = [
        line for line in stages(dockerfile)["last"].splitlines() if not line.startswith("COPY --from=packages")
    ]
    assert entry.startswith("ENTRYPOINT")
    assert re.fullmatch(r"COPY --from=(code|model) \S+ \S+", final)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_package_host_is_named(dockerfile: Path) -> None:
    text = dockerfile.read_text(encoding="utf-8")
    assert "index-url" not in text
    assert "find-links" not in text
    assert not re.findall(r"https?://(?!127\.0\.0\.1|gateway:)\S+", text)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_protocols_messages_travel_with_the_code_that_imports_them(dockerfile: Path) -> None:
    copied = [
        re.findall(r"^COPY (gateway|serving|training|protocol) ", text, re.MULTILINE)
        for text in stages(dockerfile).values()
    ]
    importing = [packages for packages in copied if set(packages) - {"protocol"}]
    assert importing
    assert all("protocol" in packages for packages in importing)
    assert "!protocol" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_the_parts_of_the_gateway_that_an_export_gets_need_no_others(tmp_path: Path) -> None:
    text = stages(ROOT / "serving/Dockerfile")["model"]
    parts = re.findall(r"gateway/(\w+)(?:\.py)? (?=.*gateway)", text)
    (tmp_path / "gateway").mkdir()
    for part in parts:
        source = ROOT / "gateway" / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / "gateway" / part)
        else:
            shutil.copy(source.with_suffix(".py"), tmp_path / "gateway")
    wanted = ", ".join(f"gateway.{part}" for part in parts if part != "__init__")
    assert "gateway.label_file" in wanted
    subprocess.run([sys.executable, "-c", f"import {wanted}"], check=True, cwd=tmp_path, env={})


@pytest.mark.parametrize("script", ["serve", "healthy", "tf_serving_entrypoint.sh", "tensorflow_model_server"])
def test_a_script_is_executable_and_its_shell_can_read_it(script: str) -> None:
    path = ROOT / "serving" / script
    assert path.stat().st_mode & 0o111 == 0o111
    shell = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#!")
    subprocess.run([shell, "-n", str(path)], check=True)
