"""The pictures that a version brings for pages to offer."""

import base64

import httpx
import pytest
from pydantic import ValidationError

from gateway.labels import MAX_SAMPLE_CHARACTERS, Sample
from tests import pictures
from tests.fakes import FakeModel, FakeReplica
from tests.gateway.conftest import Start

STAR = pictures.jpeg()
OFFERED = FakeModel(more={"samples": [{"title": "Starfish", "jpeg": base64.b64encode(STAR).decode()}]})


async def test_samples_are_listed_and_handed_out(start: Start) -> None:
    client = await start(FakeReplica("a:1", versions={1: OFFERED}))
    listed = (await client.get("/v1/samples")).json()
    assert listed == {
        "samples": [{"title": "Starfish", "path": "/v1/samples/1"}],
        "model": {"name": "my_model", "version": "1"},
    }
    picture = await client.get("/v1/samples/1")
    assert (picture.headers["Content-Type"], picture.content) == ("image/jpeg", STAR)


async def test_a_version_without_samples_lists_none(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/samples")).json()["samples"] == []


@pytest.mark.parametrize(("number", "status"), [("0", 404), ("2", 404), ("-1", 404), ("x", 400), ("9" * 400, 404)])
async def test_a_sample_that_is_not_there_is_a_problem(start: Start, number: str, status: int) -> None:
    client = await start(FakeReplica("a:1", versions={1: OFFERED}))
    answer = await client.get(f"/v1/samples/{number}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


@pytest.mark.parametrize(
    "jpeg",
    [
        "",
        "PHN2Zz4=",
        "/9j/<script>",
        "/9j/A",
        "/9j/" + "A" * MAX_SAMPLE_CHARACTERS,
        base64.b64encode(b"\x89PNG").decode(),
    ],
)
def test_a_replica_can_pass_off_neither_another_file_nor_a_huge_one_as_a_sample(jpeg: str) -> None:
    with pytest.raises(ValidationError):
        Sample(title="a", jpeg=jpeg)
