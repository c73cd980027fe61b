"""docs/deploy.md: every command in it is run by a test, or the test names the reason why it cannot be run."""

import re

from tests.documents import ROOT

TEXT = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
NOT_RUN = {
    "docker compose -f docker-compose.yml -f docker-compose.gpu.yml run --rm --no-deps --entrypoint nvidia-smi "
    "tf_model_serving -L": "needs a GPU and the official image",
    "kubectl apply -n specimen -k deploy/kubernetes/base": "needs a cluster; what it would send is validated",
    "make audit": "needs the vulnerability database",
}


def commands() -> list[str]:
    fences = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    return [line for fence in fences for line in fence.splitlines()]


def test_every_command_is_run_by_a_test_or_says_why_not() -> None:
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("*/*.py"))
    run = set(re.findall(r'documented\(\s*"([^"]+)"', tests))
    assert set(commands()) == run | NOT_RUN.keys()


def test_every_variable_that_it_lists_is_one_of_the_compose_files_and_the_defaults_agree() -> None:
    given = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", COMPOSE))
    listed = re.findall(r"^\| (`[A-Z_`, ]+`) \| ([^|]+) \|", TEXT, re.MULTILINE)
    assert listed
    for names, defaults in listed:
        for name, default in zip(re.findall(r"\w+", names), re.findall(r"[\w./:-]+", defaults), strict=False):
            if name == "JUPYTER_PORT":
                continue  # docker-compose.override.yml
            assert given[name].startswith(default), name


def test_the_official_image_is_pinned_to_one_version_everywhere() -> None:
    files = ["Makefile", "docker-compose.yml", "docker-compose.gpu.yml", "serving/Dockerfile", "docs/deploy.md"]
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in files]
    assert {version for text in texts for version in re.findall(r"tensorflow/serving:([\d.]+)", text)} == {"2.20.0"}
    assert all("tensorflow/serving:2.20.0" in text for text in texts)
