"""Which versions may be served, and how they are asked."""

from collections.abc import Mapping

import pytest

from gateway.errors import ContractError
from gateway.labels import Description, LabelMap, Preprocessing
from gateway.tfserving.contract import Signature, Tensor, Terms, accept

PROBABILITIES = {"probabilities": Tensor("DT_FLOAT", (-1, 2))}
FLOATS = Signature({"image": Tensor("DT_FLOAT", (-1, 224, 224, 3))}, PROBABILITIES)
BYTES = Signature({"image": Tensor("DT_STRING", (-1,))}, PROBABILITIES)
DESCRIBE = Signature({"ignored": Tensor("DT_STRING", (-1,))}, {"text": Tensor("DT_STRING", (-1,))})
OURS = {"serving_default": FLOATS, "serving_bytes": BYTES, "describe": DESCRIBE}
TERMS = Terms(model_name="my_model", fingerprint="sha256:1")
CAT_AND_DOG = LabelMap(labels=("cat", "dog"))
FOREIGN = Terms(model_name="my_model", fingerprint="sha256:1", foreign_labels=CAT_AND_DOG, foreign_range="-1..1")


def described(*labels: str, fingerprint: str = "sha256:1") -> Description:
    return Description(title="t", labels=labels, preprocessing=Preprocessing(fingerprint=fingerprint))


def floats(*shape: int, dtype: str = "DT_FLOAT", outputs: Mapping[str, Tensor] = PROBABILITIES) -> dict[str, Signature]:
    return {"serving_default": Signature({"x": Tensor(dtype, shape)}, outputs)}


def refusal(signatures: dict[str, Signature], description: Description | None, terms: Terms = TERMS) -> str:
    with pytest.raises(ContractError) as refused:
        accept("7", signatures, description, terms)
    return str(refused.value)


def test_a_model_of_this_project_is_asked_in_bytes() -> None:
    model = accept("7", OURS, described("cat", "dog"), TERMS)
    assert (model.name, model.version, model.signature, model.encoding) == ("my_model", "7", "serving_bytes", "bytes")
    assert model.labels == ("cat", "dog")


def test_the_operator_may_choose_the_float_signature() -> None:
    terms = Terms(model_name="my_model", fingerprint="sha256:1", signature="serving_default")
    model = accept("7", OURS, described("cat", "dog"), terms)
    assert (model.signature, model.encoding, model.input_range) == ("serving_default", "floats", (0, 1))


def test_labels_that_do_not_fit_the_output_are_refused() -> None:
    assert refusal(OURS, described("cat", "dog", "eel")) == "it has 3 labels for 2 outputs"


def test_other_preprocessing_is_refused() -> None:
    assert "preprocessed pictures differently: sha256:2" in refusal(OURS, described("a", "b", fingerprint="sha256:2"))


def test_a_foreign_model_is_served_with_labels_and_range_from_the_settings() -> None:
    model = accept("1", floats(-1, 224, 224, 3), None, FOREIGN)
    assert (model.labels, model.encoding, model.input_range, model.output) == (
        ("cat", "dog"),
        "floats",
        (-1, 1),
        "probabilities",
    )


def test_a_foreign_model_without_labels_is_refused_with_advice() -> None:
    assert "GATEWAY_LABELS_FILE" in refusal(floats(-1, 224, 224, 3), None)


def test_unknown_dimensions_are_taken_on_trust() -> None:
    assert accept("1", floats(-1, -1, -1, 3), None, FOREIGN).encoding == "floats"
    unknown = {"serving_default": Signature({"x": Tensor("DT_FLOAT", None)}, {"y": Tensor("DT_FLOAT", None)})}
    assert accept("1", unknown, None, FOREIGN).output == "y"


@pytest.mark.parametrize(
    ("signatures", "reason"),
    [
        (floats(-1, 299, 299, 3), "serving_default takes [-1, 299, 299, 3], not [-1, 224, 224, 3]"),
        (floats(32, 224, 224, 3), "serving_default takes [32, 224, 224, 3], not [-1, 224, 224, 3]"),
        (floats(-1, 224, 224, 3, dtype="DT_UINT8"), "serving_default takes DT_UINT8"),
        (floats(-1, dtype="DT_STRING"), "nothing says that they are raw pixels"),
        ({"predict": FLOATS}, "it has no signature serving_default, only predict"),
        (
            floats(
                -1, 224, 224, 3, outputs={"scores": Tensor("DT_FLOAT", (-1, 2)), "more": Tensor("DT_FLOAT", (-1, 2))}
            ),
            "more, scores",
        ),
        (floats(-1, 224, 224, 3, outputs={"labels": Tensor("DT_STRING", (-1, 2))}), "it has none"),
        (
            {"serving_default": Signature({"a": Tensor("DT_FLOAT", (-1,)), "b": Tensor("DT_FLOAT", (-1,))}, {})},
            "serving_default takes 2 inputs: a, b",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_reason(signatures: dict[str, Signature], reason: str) -> None:
    assert reason in refusal(signatures, None, FOREIGN)


def test_a_familiarity_is_read_where_a_model_that_describes_itself_has_one_for_each_picture() -> None:
    both = Signature(BYTES.inputs, PROBABILITIES | {"familiarity": Tensor("DT_FLOAT", (-1,))})
    model = accept("7", OURS | {"serving_bytes": both}, described("cat", "dog"), TERMS)
    assert (model.output, model.familiarity) == ("probabilities", "familiarity")
    foreign = floats(-1, 224, 224, 3, outputs=PROBABILITIES | {"familiarity": Tensor("DT_FLOAT", (-1,))})
    assert accept("7", foreign, None, FOREIGN).familiarity == ""


def test_a_float_output_beside_others_of_other_kinds_is_found() -> None:
    outputs = {"classes": Tensor("DT_STRING", (-1, 2)), "scores": Tensor("DT_FLOAT", (-1, 2))}
    assert accept("1", floats(-1, 224, 224, 3, outputs=outputs), None, FOREIGN).output == "scores"
