"""Pages and problem types, without a browser."""

import re
from typing import get_args

import httpx
import pytest

from gateway.api.pages import problem_types
from gateway.api.schema import MEDIA_TYPES
from gateway.settings import ImageFormat
from tests.fakes import FakeReplica
from tests.gateway.conftest import Start


@pytest.mark.parametrize("page", ["/", "/docs"])
async def test_a_page_loads_nothing_from_elsewhere(client: httpx.AsyncClient, page: str) -> None:
    html = (await client.get(page)).text
    needed = re.findall(r'(?:src|href)="([^"#]+)"', html) + re.findall(r"url: '([^']+)'", html)
    assert len(needed) > 2
    for address in needed:
        assert address.startswith("/")
        assert (await client.get(address)).status_code == 200, address


async def test_every_problem_type_is_a_page_that_explains_it(client: httpx.AsyncClient) -> None:
    for kind in problem_types():
        page = await client.get(f"/problems/{kind.slug}")
        assert page.status_code == 200
        assert kind.title in page.text
        assert kind.advice.split("`")[0].split("'")[0] in page.text
    assert (await client.get("/problems/no-such")).status_code == 404


def test_problem_types_are_distinct() -> None:
    slugs = [kind.slug for kind in problem_types()]
    assert len(slugs) == len(set(slugs))


async def test_the_openapi_document_names_every_problem_of_an_upload(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/v1/classify"]["post"]["responses"]
    examples = {
        slug
        for response in responses.values()
        for slug in response["content"].get("application/problem+json", {}).get("examples", {})
    }
    elsewhere = {"not-found", "method-not-allowed", "too-many-images", "cross-origin-refused", "predict-body-refused"}
    assert examples == {kind.slug for kind in problem_types()} - elsewhere
    assert "422" in responses
    assert document["paths"]["/v1/classify"]["post"]["requestBody"]["content"].keys() >= {
        "multipart/form-data",
        "image/jpeg",
    }


@pytest.mark.parametrize(
    ("formats", "types", "listed"),
    [
        ("JPEG,PNG,WEBP,GIF", ["image/jpeg", "image/png", "image/webp", "image/gif"], "JPEG, PNG, WebP or GIF;"),
        ("JPEG,TIFF", ["image/jpeg", "image/tiff"], "JPEG or TIFF;"),
        ("BMP", ["image/bmp"], "BMP;"),
    ],
)
async def test_the_documentation_and_the_page_name_the_formats_that_are_accepted(
    start: Start, replica: FakeReplica, formats: str, types: list[str], listed: str
) -> None:
    client = await start(replica, image_formats=formats)
    document = (await client.get("/openapi.json")).json()
    body = document["paths"]["/v1/classify"]["post"]["requestBody"]["content"]
    assert list(body) == ["multipart/form-data", *types, "application/octet-stream"]
    page = (await client.get("/")).text
    assert f'accept="{",".join(types)}"' in page
    assert listed in page


def test_every_format_has_a_media_type() -> None:
    assert set(MEDIA_TYPES) == set(get_args(ImageFormat))
