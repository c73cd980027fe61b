"""The answer of a classification: what the model is sure of, at its own threshold or the caller's."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from tests.fakes import FakeModel, FakeReplica
from tests.gateway.api.test_classify import form
from tests.gateway.conftest import Start

SURE = FakeModel(
    probabilities=(0.05, 0.3, 0.05, 0.6),
    more={
        "groups": ["Cnidaria", "Echinodermata/Ophiuroidea", "Arthropoda", "Echinodermata/Echinoidea"],
        "names": {"de": ["Seeanemone", "Schlangenstern", "Krabbe", "Seeigel"]},
        "named_groups": [{"path": "Echinodermata", "display_name": "Echinoderms", "names": {"de": "Stachelhäuter"}}],
        "sure_at": 0.8,
        "familiar_at": 0.5,
    },
    familiarity=0.75,
)
ECHINODERMS = {"name": "Echinoderms", "kind": "group", "group": "Echinodermata", "confidence": 0.9}
SEA_URCHIN = {
    "name": "sea urchin",
    "kind": "label",
    "label": "sea_urchin",
    "group": "Echinodermata/Echinoidea",
    "confidence": 0.6,
}


async def answers(start: Start, jpeg: bytes, model: FakeModel, query: str = "") -> dict[str, Any]:
    """The whole answer for one picture."""
    client: httpx.AsyncClient = await start(FakeReplica("a:1", versions={1: model}))
    answer = await client.post(f"/v1/classify{query}", files=form(jpeg))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    batch = (await client.post(f"/v1/classify/batch{query}", files=form(b"no picture", jpeg))).json()["results"]
    assert batch == [{"problem": batch[0]["problem"]}, {name: found[name] for name in found if name != "request_id"}]
    return found


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("", ECHINODERMS),
        ("?lang=de", ECHINODERMS | {"name": "Stachelhäuter"}),
        ("?sure_at=0.6", SEA_URCHIN),
        ("?sure_at=0.6&lang=de", SEA_URCHIN | {"name": "Seeigel"}),
        ("?sure_at=0.95", None),
        ("?top_k=1&min_confidence=0.99", ECHINODERMS),
    ],
)
async def test_the_answer_is_the_most_specific_statement_at_the_threshold(
    start: Start, jpeg: bytes, query: str, answer: dict[str, Any] | None
) -> None:
    assert (await answers(start, jpeg, SURE, query))["answer"] == pytest.approx(answer)


async def test_an_unfamiliar_picture_has_no_answer_however_confident_the_model_is(start: Start, jpeg: bytes) -> None:
    found = await answers(start, jpeg, replace(SURE, familiarity=0.4999), "?sure_at=0")
    assert (found["answer"], found["familiarity"]) == (None, 0.4999)
    assert found["predictions"][0]["label"] == "sea_urchin"


async def test_a_model_without_thresholds_is_sure_of_nothing_unless_the_caller_sets_one(
    start: Start, jpeg: bytes
) -> None:
    plain = FakeModel()
    found = await answers(start, jpeg, plain)
    assert found["answer"] is None
    assert "familiarity" not in found
    assert (await answers(start, jpeg, plain, "?sure_at=0.5"))["answer"] == {
        "name": "crab",
        "kind": "label",
        "label": "crab",
        "confidence": 0.6,
    }


@pytest.mark.parametrize("query", ["sure_at=1.01", "sure_at=-0.1", "sure_at=very", "sure_at=nan"])
async def test_a_threshold_outside_of_0_to_1_is_refused(client: httpx.AsyncClient, jpeg: bytes, query: str) -> None:
    answer = await client.post(f"/v1/classify?{query}", files=form(jpeg))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-parameter")
    assert "sure_at" in answer.json()["detail"]


async def test_the_labels_tell_the_groups_and_both_thresholds(start: Start) -> None:
    client = await start(FakeReplica("a:1", versions={1: SURE}))
    told = (await client.get("/v1/labels")).json()
    assert (told["sure_at"], told["familiar_at"]) == (0.8, 0.5)
    assert told["groups"] == [
        {"path": "Echinodermata", "display_name": "Echinoderms", "names": {"de": "Stachelhäuter"}}
    ]


async def test_answers_are_counted_by_what_the_model_was_sure_of(start: Start, jpeg: bytes) -> None:
    def counted() -> list[float]:
        kinds = ("label", "group", "none")
        return [REGISTRY.get_sample_value("gateway_answers_total", {"sure_of": kind}) or 0 for kind in kinds]

    client, before = await start(FakeReplica("a:1", versions={1: SURE})), counted()
    for query in ("", "?sure_at=0.6", "?sure_at=0.95"):
        await client.post(f"/v1/classify{query}", files=form(jpeg))
    assert [after - was for after, was in zip(counted(), before, strict=True)] == [1, 1, 1]
