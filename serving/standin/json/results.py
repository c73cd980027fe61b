"""The JSON of classify and regress responses (docs/tensorflow-serving.md, "Classify and regress")."""

from collections.abc import Iterable

from serving.standin.json.numbers import decimals
from serving.standin.json.text import quoted
from serving.standin.tensors.classification import Classes, Outputs, classes, regressions


def write_results(method: str, outputs: Outputs, count: int) -> bytes:
    """The response body for `count` examples.

    Raises:
        StatusError: the outputs do not have the shape or type that the method requires.
    """
    if method == "classify":
        return _results(_classifications(classes(outputs, count), count))
    return _results(decimals(regressions(outputs, count)))


def _classifications(found: Classes, count: int) -> Iterable[str]:
    """[[label, score], ...] for each example. An output that the signature lacks becomes "" or 0.0."""
    width, total = found.width, found.width * count
    labels = ['""'] * total if found.labels is None else [quoted(_text(label)) for label in found.labels]
    scores = ["0.0"] * total if found.scores is None else decimals(found.scores)
    pairs = [f"[{label}, {score}]" for label, score in zip(labels, scores, strict=True)]
    return (f"[{', '.join(pairs[at * width : (at + 1) * width])}]" for at in range(count))


def _text(label: bytes) -> str:
    return label.decode("utf-8", "surrogateescape")


def _results(items: Iterable[str]) -> bytes:
    return f'{{"results": [{", ".join(items)}]}}'.encode("utf-8", "surrogateescape")
