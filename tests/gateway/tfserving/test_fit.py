"""What a body sends is held against the signature."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from typing import Any

import pytest

from gateway.errors import PredictBodyError
from gateway.tfserving.contract import Signature, Tensor
from gateway.tfserving.fit import check
from gateway.tfserving.inspection import Verb, inspect
from tests.contract.recorded import Pair, read_pairs, request_body
from tests.poison import POISON, Poison

PIXELS = Tensor("DT_FLOAT", (-1, 224, 224, 3))
SIGNATURES = {
    "serving_default": Signature({"image": PIXELS}, {}),
    "serving_bytes": Signature({"image": Tensor("DT_STRING", (-1,))}, {}),
    "two": Signature({"a": Tensor("DT_FLOAT", (-1,)), "b": Tensor("DT_FLOAT", (-1, 2))}, {}),
    "one": Signature({"image": Tensor("DT_FLOAT", (1, 2))}, {}),
    "scalar": Signature({"x": Tensor("DT_FLOAT", ())}, {}),
    "any": Signature({"x": Tensor("DT_FLOAT", None)}, {}),
    "examples": Signature({"inputs": Tensor("DT_STRING", None)}, {}),
    "floats": Signature({"inputs": Tensor("DT_FLOAT", (-1,))}, {}),
    "nothing": Signature({}, {}),
}


def refusal(document: Any, signature: str = "", verb: Verb = "predict") -> str | None:
    """Why the document is refused; None: it is not."""
    body = json.dumps({"signature_name": signature} | document)
    try:
        check(inspect(verb, body.encode()), SIGNATURES)
    except PredictBodyError as error:
        return error.detail
    return None


def tensor(leaf: Any, *sizes: int) -> Any:
    for size in reversed(sizes):
        leaf = [leaf] * size
    return leaf


FORMATS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda value: {"instances": value},
    "rows by name": lambda value: {"instances": [{"image": each} for each in value] if isinstance(value, list) else 1},
    "columns": lambda value: {"inputs": value},
    "columns by name": lambda value: {"inputs": {"image": value}},
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("sizes", [(1, 224, 224, 3), (2, 224, 224, 3)], ids=str)
def test_the_signatures_shape_passes_in_every_format(form: str, sizes: tuple[int, ...]) -> None:
    assert refusal(FORMATS[form](tensor(0.5, *sizes))) is None
    assert refusal(FORMATS[form](tensor("a", sizes[0])), "serving_bytes") is None
    assert refusal(FORMATS[form](tensor({"b64": "AAAA"}, sizes[0])), "serving_bytes") is None


OTHER_SHAPES = [
    *((2,) * rank for rank in (0, 1, 2, 3, 4, 5, 6)),
    *((1,) * rank for rank in (1, 2, 3, 4, 5, 6)),
    *((224, 224, 3), (1, 1, 224, 224, 3), (1, 224, 224), (1, 150528)),
    *((1, 223, 224, 3), (1, 225, 224, 3), (1, 224, 223, 3), (1, 3, 224, 224), (1, 224, 224, 1), (1, 224, 224, 4)),
    *((0,), (1, 0), (2, 0), (1, 224, 0), (1, 224, 224, 0)),
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("sizes", OTHER_SHAPES, ids=str)
def test_floats_of_any_other_shape_are_refused(form: str, sizes: tuple[int, ...]) -> None:
    assert refusal(FORMATS[form](tensor(0.5, *sizes)))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("rank", [0, 2, 3, 4, 5, 6])
def test_strings_of_any_other_shape_are_refused(form: str, rank: int) -> None:
    for leaf, size in product(("a", {"b64": "AAAA"}), (1, 2)):
        assert refusal(FORMATS[form](tensor(leaf, *[size] * rank)), "serving_bytes")
    assert refusal({"inputs": []}, "serving_bytes")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("signature", ["", "serving_bytes", "any"])
def test_ragged_lists_never_pass(form: str, signature: str) -> None:
    for value in ([[1], [1, 2]], [[1], []], [[1], 2], [["a"], "a"], [tensor(1, 224, 224, 3), tensor(1, 224, 224)]):
        assert refusal(FORMATS[form](value), signature)


@pytest.mark.parametrize(
    ("document", "signature", "said"),
    [
        ({"instances": [1, 2]}, "", 'input "image": expected shape [n, 224, 224, 3], got [2].'),
        ({"inputs": 1}, "serving_bytes", 'input "image": expected shape [n], got [].'),
        ({"inputs": {"image": [{}]}}, "", 'input "image": expected shape [n, 224, 224, 3], got lists of different'),
        ({"instances": [1]}, "two", 'Values came without a name; name each of the inputs "a", "b" in an object.'),
        ({"instances": [{"a": 1}]}, "two", 'Missing: "b". The inputs of the signature are "a", "b".'),
        ({"inputs": {"b": [[1, 2]]}}, "two", 'Missing: "a". The inputs of the signature are "a", "b".'),
        ({"instances": [{"a": 1, "b": [1, 2], "c": 1}]}, "two", "An unknown input came."),
        ({"instances": tensor(1, 9, 1, 1, 1, 1, 1, 1, 1, 1)}, "any", "expected a shape of at most 8 dimensions, got"),
        ({"instances": [1]}, "other", "signature_name: the model has no such signature with inputs; it has any,"),
        ({"instances": [1]}, "nothing", "signature_name: the model has no such signature with inputs; it has any,"),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(document: Any, signature: str, said: str) -> None:
    detail = refusal(document, signature)
    assert detail is not None
    assert detail.startswith(said) or said in detail
    assert '"c"' not in detail
    assert "other" not in detail


@pytest.mark.parametrize(
    ("document", "signature"),
    [
        ({"instances": [{"a": 1, "b": [1, 2]}, {"b": [3, 4], "a": 2}]}, "two"),
        ({"inputs": {"a": [1, 2, 3], "b": [[1, 2]], "unknown": {"x": [[]]}}}, "two"),
        ({"instances": [[1, 2]]}, "one"),
        ({"inputs": 1}, "scalar"),
        ({"inputs": {"x": 1}}, "scalar"),
        ({"inputs": [[], []]}, "any"),
        ({"inputs": tensor(1, 1, 2, 1, 2, 1, 2, 1, 2)}, "any"),
    ],
)
def test_what_the_signature_leaves_open_passes(document: Any, signature: str) -> None:
    assert refusal(document, signature) is None


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_examples_go_to_a_signature_that_takes_examples_only(verb: Verb) -> None:
    document = {"examples": [{"x": 1.0}, {"x": [2.0]}]}
    assert refusal(document, "examples", verb) is None
    for other in ("", "serving_bytes", "two", "floats", "nothing", "unknown"):
        assert refusal(document, other, verb)


@pytest.mark.parametrize("poison", [each for each in POISON.values() if not each.headers])
def test_no_poison_fits_a_model_of_this_project(poison: Poison) -> None:
    with pytest.raises(PredictBodyError):
        check(inspect(poison.verb, poison.body), SIGNATURES)  # type: ignore[arg-type]  # a verb


# --- what the real server was seen to answer ------------------------------------------------------------------------

SHAPED_OTHERWISE = {
    "toy__bytes_col_bare_b64",
    "toy__bytes_col_named_bare_b64",
    "toy__image_flat",
    "toy__image_no_batch_dim",
}
"""Recorded pairs that the real server answered although the shape is not the signature's: these graphs reshape."""


@cache
def recorded_signatures() -> Mapping[str, Mapping[str, Signature]]:
    """By model. That of half_plus_two says [-1, 1], and its pairs send [n]; here it says what they send."""
    found: dict[str, Mapping[str, Signature]] = {}
    for pair in read_pairs("core.jsonl"):
        if pair["name"] in ("metadata__label", "metadata__multi_signature", "metadata__ok"):
            told = json.loads(pair["response"]["body"])
            listed = told["metadata"]["signature_def"]["signature_def"]
            found[told["model_spec"]["name"]] = {name: Signature(_inputs(each), {}) for name, each in listed.items()}
    found["half_plus_two"] = {
        **found["half_plus_two"],
        "serving_default": Signature({"x": Tensor("DT_FLOAT", None)}, {}),
    }
    return found


def _inputs(signature: Any) -> dict[str, Tensor]:
    return {
        name: Tensor(
            tensor["dtype"],
            None
            if tensor["tensor_shape"]["unknown_rank"]
            else tuple(int(d["size"]) for d in tensor["tensor_shape"]["dim"]),
        )
        for name, tensor in signature["inputs"].items()
    }


def answered() -> list[Any]:
    """The recorded calls that were answered with 200, one parameter each."""
    return [
        pytest.param(pair, id=pair["name"])
        for file in ("core.jsonl", "wire.jsonl")
        for pair in read_pairs(file)
        if (pair.get("response") or {}).get("status") == 200
        and pair["request"].get("method") == "POST"
        and pair["name"] != "body__gzip"
        and _model(pair) in recorded_signatures()
    ]


def _model(pair: Pair) -> str:
    return str(pair["request"]["path"]).split("/")[3].partition(":")[0]


@pytest.mark.parametrize("pair", answered())
def test_what_the_real_server_answered_passes_if_it_has_the_signatures_shape(pair: Pair) -> None:
    verb = pair["request"]["path"].rpartition(":")[2]
    document = inspect(verb, request_body(pair["request"]))
    if pair["name"] not in SHAPED_OTHERWISE:
        check(document, recorded_signatures()[_model(pair)])
        return
    with pytest.raises(PredictBodyError, match="expected shape"):
        check(document, recorded_signatures()[_model(pair)])
