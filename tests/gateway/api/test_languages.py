"""Names of classes in the language of the caller."""

import json
from typing import Any

import httpx
import pytest

from tests.fakes import FakeModel, FakeReplica
from tests.gateway.api.test_classify import form
from tests.gateway.conftest import Start

NAMED = FakeModel(
    more={
        "display_names": ["Anemone", "Brittle star", "Crab", "Sea urchin"],
        "groups": ["Cnidaria", "Echinodermata/Ophiuroidea", "", "Echinodermata/Echinoidea"],
        "names": {"de": ["Seeanemone", "Schlangenstern", "Krabbe", ""], "pt-BR": ["", "", "Caranguejo", ""]},
        "links": ["", "", "https://example.org/crab", ""],
    }
)
PLAIN = ["Crab", "Brittle star", "Anemone", "Sea urchin"]
GERMAN = ["Krabbe", "Schlangenstern", "Seeanemone", "Sea urchin"]
PORTUGUESE = ["Caranguejo", "Brittle star", "Anemone", "Sea urchin"]


@pytest.fixture
async def named(start: Start) -> httpx.AsyncClient:
    """A gateway in front of a version with names in two languages."""
    return await start(FakeReplica("a:1", versions={1: NAMED}))


def names(predictions: list[dict[str, Any]]) -> list[str]:
    assert [one["label"] for one in predictions] == ["crab", "brittle_star", "anemone", "sea_urchin"]
    return [one["display_name"] for one in predictions]


@pytest.mark.parametrize(
    ("query", "accepted", "shown", "told"),
    [
        ("", None, PLAIN, None),
        ("", "de-AT,de;q=0.9,en;q=0.8", GERMAN, "de"),
        ("", "fr, pt-br;q=0.2, de;q=0.1", PORTUGUESE, "pt-BR"),
        ("", "fr, *;q=0.5", PLAIN, None),
        ("", "de;q=0", PLAIN, None),
        ("", ";;;q=,\xff", PLAIN, None),
        ("?lang=de", None, GERMAN, "de"),
        ("?lang=DE-CH&top_k=4", "pt-BR", GERMAN, "de"),
        ("?lang=fr", "de", PLAIN, None),  # what is asked for in the address counts alone
    ],
)
async def test_names_are_in_the_language_that_the_caller_asks_for(
    named: httpx.AsyncClient, jpeg: bytes, query: str, accepted: str | None, shown: list[str], told: str | None
) -> None:
    headers = [(b"Accept-Language", accepted.encode("latin-1"))] if accepted else None
    one = await named.post(f"/v1/classify{query}", files=form(jpeg), headers=headers)
    assert (one.status_code, names(one.json()["predictions"])) == (200, shown)
    assert one.headers.get("Content-Language") == told
    several = await named.post(f"/v1/classify/batch{query}", files=form(b"no picture", jpeg), headers=headers)
    bad, good = several.json()["results"]
    assert (bad["problem"]["status"], names(good["predictions"])) == (415, shown)
    assert several.headers.get("Content-Language") == told
    assert "Accept-Language" in one.headers["Vary"]
    assert "Accept-Language" in several.headers["Vary"]


@pytest.mark.parametrize("lang", ["", "de_DE", "german language", "d", "de;q=1", "a" * 36, "de%0d%0aX: y"])
@pytest.mark.parametrize("path", ["/v1/classify", "/v1/classify/batch"])
async def test_what_is_no_language_tag_is_refused(named: httpx.AsyncClient, jpeg: bytes, path: str, lang: str) -> None:
    refused = await named.post(f"{path}?lang={lang}", files=form(jpeg))
    assert (refused.status_code, refused.json()["type"]) == (400, "/problems/invalid-parameter")
    assert refused.json()["detail"].startswith("lang: ")


async def test_a_prediction_names_the_group_where_there_is_one(named: httpx.AsyncClient, jpeg: bytes) -> None:
    answer = (await named.post("/v1/classify?top_k=2", files=form(jpeg))).json()
    assert answer["predictions"] == [
        {"label": "crab", "display_name": "Crab", "confidence": 0.6, "index": 2},
        {
            "label": "brittle_star",
            "display_name": "Brittle star",
            "confidence": 0.2,
            "index": 1,
            "group": "Echinodermata/Ophiuroidea",
        },
    ]


async def test_a_version_without_other_languages_answers_all_callers_alike(
    client: httpx.AsyncClient, jpeg: bytes
) -> None:
    answer = await client.post("/v1/classify?lang=de", files=form(jpeg), headers={"Accept-Language": "de"})
    assert names(answer.json()["predictions"]) == ["crab", "brittle star", "anemone", "sea urchin"]
    assert "Content-Language" not in answer.headers


async def test_the_labels_are_listed_with_all_that_is_known_of_them(named: httpx.AsyncClient) -> None:
    shown = (await named.get("/v1/labels")).json()
    assert shown["labels"] == ["anemone", "brittle_star", "crab", "sea_urchin"]
    assert shown["languages"] == ["de", "pt-BR"]
    assert shown["classes"][1:] == [
        {
            "label": "brittle_star",
            "display_name": "Brittle star",
            "group": "Echinodermata/Ophiuroidea",
            "names": {"de": "Schlangenstern"},
        },
        {
            "label": "crab",
            "display_name": "Crab",
            "names": {"de": "Krabbe", "pt-BR": "Caranguejo"},
            "link": "https://example.org/crab",
        },
        {"label": "sea_urchin", "display_name": "Sea urchin", "group": "Echinodermata/Echinoidea", "names": {}},
    ]


async def test_the_list_is_that_of_the_version_that_serves_now(start: Start) -> None:
    for label_map in ({"links": ["https://a"] * 4}, {"links": ["https://b"] * 4}):
        client = await start(FakeReplica("a:1", versions={1: FakeModel(more=label_map)}))
        for _ in range(2):
            listed = (await client.get("/v1/labels")).json()
            assert [one["link"] for one in listed["classes"]] == label_map["links"]


async def test_a_file_gives_names_to_a_model_that_does_not_describe_itself(
    start: Start, jpeg: bytes, tmp_path: Any
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("label,display_name,name:de\nw,W,V\nx,X,\ny,Why,Ypsilon\nz,,Zett\n")
    client = await start(FakeReplica("a:1", versions={1: FakeModel(describes=False)}), labels_file=file)
    answer = await client.post("/v1/classify?lang=de", files=form(jpeg))
    assert [one["display_name"] for one in answer.json()["predictions"]] == ["Ypsilon", "X", "V", "Zett"]


async def test_a_version_with_a_wrong_label_map_is_refused(start: Start) -> None:
    wrong = FakeModel(more={"links": ["javascript:alert(1)"] * 4})
    client = await start(FakeReplica("a:1", versions={1: NAMED, 2: wrong}))
    shown = (await client.get("/v1/models")).json()["replicas"][0]
    assert (shown["serving"], list(shown["refused"])) == ("1", ["2"])


async def test_the_openapi_document_describes_names_and_languages(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path in ("/v1/classify", "/v1/classify/batch"):
        route = document["paths"][path]["post"]
        parameters = {parameter["name"]: parameter["in"] for parameter in route["parameters"]}
        assert parameters.items() >= {"lang": "query", "Accept-Language": "header"}.items()
        assert "Content-Language" in route["responses"]["200"]["headers"]
        assert "schema" in route["responses"]["200"]["content"]["application/json"]
    shown = json.dumps(document["components"]["schemas"]["Label"])
    assert '"Bolocera kerguelensis"' in shown
    assert "#/components/schemas/ClassNames" in json.dumps(document["components"]["schemas"]["Labels"])
