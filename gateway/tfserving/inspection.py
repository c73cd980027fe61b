"""What the body of a predict, classify or regress call holds: the shape of every input. Pure.

TensorFlow Serving takes any shape and any nesting, and dies of some (docs/tensorflow-serving.md, "Known problems"). The
gateway therefore reads the structure of a body before it forwards it. Everything is refused that is not of the forms
below, so nothing that is forwarded is nested deeper than they are:

- lists of equal length at each level, as tensors are written; the shape is read along the first element, and one
  comparison with the structure that this shape must have decides about all others;
- for classify and regress, features that are values or flat lists;
- members that TensorFlow Serving ignores, and what follows the document: nested at most MAX_DEPTH deep.

Source: docs/tensorflow-serving.md, "Predict over REST", "Tensor shapes", "Row format", "Column format" and "Classify
and regress".
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from gateway.errors import PredictBodyError
from gateway.tfserving.skeleton import EMPTY, FIRST_NAME, STRING, Skeleton, skeleton

Verb = Literal["predict", "classify", "regress"]
Shape = tuple[int, ...]
Named = Mapping[str, Shape | None]
"""Shapes by name of the input; None: what was sent is no tensor."""
T = TypeVar("T")

MAX_DEPTH = 32
"""Lists and objects in each other. Tensors have at most 8 dimensions, and two objects around them."""
MAX_IGNORED = 16_384
"""Brackets in members that TensorFlow Serving ignores, and behind the document."""
MAX_MEMBERS = 1024
"""Of one object."""
MAX_FORMS = 64
"""Instances whose members are in different orders, or whose shapes differ."""
DEFAULT_SIGNATURE = "serving_default"
_MEMBERS = ("signature_name", "instances", "inputs", "examples", "context")
UNKNOWN = ""
"""In the place of a name that is no valid text; no input is called so."""

_COMPARED_BYTES = 2**16
"""At a time: a processor's cache holds them."""
_BRACKET = re.compile(b"[][{}" + EMPTY + b"]")
_VALUES_AND_NAMES = b",:" + STRING + bytes(range(FIRST_NAME, 256))
_CLOSED = bytes.maketrans(EMPTY, b"]")


@dataclass(frozen=True)
class Document:
    """What one body sends."""

    verb: Verb
    signature: str
    """Its name."""
    sent: Shape | Named
    """By name of the input; a shape alone is that of the only input. For classify and regress: the examples'."""
    columns: bool = False
    """In columns, inputs that the signature does not have are ignored."""


def inspect(verb: Verb, body: bytes) -> Document:
    """The document in the body of a call.

    Raises:
        PredictBodyError: it has no form that TensorFlow Serving takes, or it exceeds a bound.
    """
    return _Reader(verb, skeleton(body, _MEMBERS, valued="signature_name")).document()


class _Reader:
    """Reads one skeleton. `at` is a place in its structure; each method also returns the place behind what it read."""

    def __init__(self, verb: Verb, read: Skeleton) -> None:
        self._verb = verb
        self._skeleton = read
        self._text = read.structure
        self._ignored = 0
        """Brackets so far in what TensorFlow Serving does not read."""

    def document(self) -> Document:
        if self._text[:1] != b"{":
            raise PredictBodyError("The body is not a JSON object.")
        members, end = self.members(0, self._top_level)
        for _ in self._brackets(end):  # TensorFlow Serving ignores what follows the document
            pass
        signature = str(members.get("signature_name") or DEFAULT_SIGNATURE)
        known = ("instances", "inputs") if self._verb == "predict" else ("examples",)
        found = [name for name in known if name in members]
        if len(found) != 1:
            raise PredictBodyError(f"The body must have {'exactly one of ' * (len(known) - 1)}{' and '.join(known)}.")
        return Document(self._verb, signature, members[found[0]], columns=found == ["inputs"])

    def members(self, at: int, read: Callable[[str, int], tuple[T, int]]) -> tuple[dict[str, T], int]:
        """The members of the object at `at`, each value read by `read`."""
        found: dict[str, T] = {}
        if self._text[at : at + 2] == b"{}":
            return found, at + 2
        for _ in range(MAX_MEMBERS):
            if self._text[at : at + 1] not in (b"{", b","):
                break
            name, behind = self._name(at + 1)
            value, at = read(name, behind)
            if name in found and name != UNKNOWN:
                raise PredictBodyError("The body has two members of one name.")
            found[name] = value
        if self._text[at : at + 1] != b"}":
            raise _malformed()
        return found, at + 1

    def _name(self, at: int) -> tuple[str, int]:
        mark, colon = self._text[at : at + 1], self._text[at + 1 : at + 2]
        if not mark or mark[0] < FIRST_NAME or colon != b":":
            raise _malformed()
        return self._skeleton.names.get(mark[0], UNKNOWN), at + 2

    def _top_level(self, name: str, at: int) -> tuple[Any, int]:
        match name, self._verb:
            case "signature_name", _:
                return self._signature(at)
            case "instances", "predict":
                return self._rows(at)
            case "inputs", "predict":
                return self._columns(at)
            case "examples", "classify" | "regress":
                return self._examples(at)
            case "context", "classify" | "regress":
                return self._context(at)
        return None, self._behind(at)

    def _signature(self, at: int) -> tuple[str, int]:
        mark = self._text[at - 2 : at - 1]
        value = self._skeleton.values[self._text.count(mark, 0, at - 2)]
        if value is None:
            raise PredictBodyError("'signature_name' must be a string.")
        return value, at + 1

    # --- predict --------------------------------------------------------------------------------------------------

    def _rows(self, at: int) -> tuple[Shape | Named, int]:
        if self._text[at : at + 2] == b"[{":
            return self._row_objects(at)
        shape, end = self.tensor("", at)
        if not shape:
            raise PredictBodyError("'instances' must be a list.")
        if not shape[0]:
            raise PredictBodyError("'instances' is empty.")
        return shape, end

    def _row_objects(self, at: int) -> tuple[Named, int]:
        """Instances as objects of inputs. They are mostly equal in structure, so each different one is read once."""
        end = self._text.find(b"}]", at)
        instances = self._text[at + 2 : end].split(b"},{")
        forms = set(instances)
        if end < 0 or len(forms) > MAX_FORMS:
            raise _ragged()
        first, *others = [self._row_object(b"{" + form + b"}") for form in forms]
        if any(other != first for other in others):
            raise _ragged()
        return {name: (len(instances), *shape) for name, shape in first.items()}, end + 2

    def _row_object(self, text: bytes) -> dict[str, Shape]:
        inner = _Reader(self._verb, replace(self._skeleton, structure=text))
        found, end = inner.members(0, inner.tensor)
        if end != len(text):
            raise _malformed()
        return found

    def _columns(self, at: int) -> tuple[Shape | Named, int]:
        if self._text[at : at + 1] == b"{":
            return self.members(at, self._column)
        return self.tensor("", at)

    def _column(self, _: str, at: int) -> tuple[Shape | None, int]:
        try:
            return self.tensor("", at)
        except PredictBodyError:
            return None, self._behind(at)  # refused later, unless the signature has no such input

    def tensor(self, _: str, at: int) -> tuple[Shape, int]:
        """The shape of the value, string or list at `at`."""
        rank = len(self._text[at : at + MAX_DEPTH + 1]) - len(self._text[at : at + MAX_DEPTH + 1].lstrip(b"["))
        if rank > MAX_DEPTH:
            raise _deep()
        first = self._text[at + rank : at + rank + 1]
        leaf = first if first in (STRING, EMPTY) else b""
        if not leaf and first not in (b",", b"]", b"}"):
            raise _ragged()
        empty = leaf == EMPTY
        sizes, element = ([0], b"[" + EMPTY) if empty else ([], leaf)
        for begin in range(at + rank - empty, at, -1):  # from the innermost list outwards, each the first at its level
            size, end = self._elements(element, begin)
            sizes.append(size)
            element = self._text[begin - 1 : end + 1]
        return tuple(reversed(sizes)), at + len(element)

    def _elements(self, element: bytes, at: int) -> tuple[int, int]:
        """How many elements of this structure stand at `at`, and the place of the bracket behind them."""
        some, count, size = element + b",", 1, 0
        while self._text.startswith(some, at):
            at, size = at + len(some), size + count
            if len(some) < _COMPARED_BYTES:
                some, count = some * 2, count * 2
        while count > 1:  # fewer than `count` are left, and the last one
            some, count = some[: len(some) // 2], count // 2
            if self._text.startswith(some, at):
                at, size = at + len(some), size + count
        if not self._text.startswith(element + b"]", at):
            raise _ragged()
        return size + 1, at + len(element)

    # --- classify and regress -------------------------------------------------------------------------------------

    def _examples(self, at: int) -> tuple[Shape, int]:
        end = self._text.find(b"}]", at) + 1
        examples = self._text[at + 1 : end]
        only_objects = self._text[at : at + 2] == b"[{" and examples.count(b"{") == examples.count(b"},{") + 1
        if not end or not only_objects or not _flat(examples):
            raise PredictBodyError("'examples' must be a list of objects, with values or flat lists of values in them.")
        return (examples.count(b"{"),), end + 1

    def _context(self, at: int) -> tuple[None, int]:
        end = self._text.find(b"}", at) + 1
        if self._text[at : at + 1] != b"{" or not _flat(self._text[at:end]):
            raise PredictBodyError("'context' must be an object, with values or flat lists of values in it.")
        return None, end

    # --- what TensorFlow Serving ignores --------------------------------------------------------------------------

    def _behind(self, at: int) -> int:
        """The place behind the value at `at`, whatever it is."""
        if self._text[at : at + 1] == STRING:
            return at + 1
        if self._text[at : at + 1] not in (b"[", b"{"):
            return at
        for depth, end in self._brackets(at):
            if depth == 0:
                return end
        raise _malformed()

    def _brackets(self, at: int) -> Iterator[tuple[int, int]]:
        """From `at` on: the depth behind each bracket, and the place there."""
        depth = 0
        for bracket in _BRACKET.finditer(self._text, at):
            depth += 1 if bracket[0] in b"[{" else -1
            self._ignored += 1
            if depth > MAX_DEPTH:
                raise _deep()
            if self._ignored > MAX_IGNORED:
                raise PredictBodyError(f"The body has more than {MAX_IGNORED:,} brackets that the model does not read.")
            yield depth, bracket.end()


def _flat(text: bytes) -> bool:
    """Whether there are only objects, with nothing in them but values and lists of values."""
    brackets = text.translate(_CLOSED, _VALUES_AND_NAMES)
    objects = brackets.translate(None, b"[]")
    flat_lists = brackets.count(b"[]") == brackets.count(b"[") == brackets.count(b"]")
    return flat_lists and 2 * objects.count(b"{}") == len(objects)


def _malformed() -> PredictBodyError:
    return PredictBodyError(
        "The body is not valid JSON, has an object where a value or a list is expected, or an object with more than "
        f"{MAX_MEMBERS:,} members."
    )


def _ragged() -> PredictBodyError:
    return PredictBodyError(
        "The lists of an input have different lengths or depths; every list at one level must have the same shape."
    )


def _deep() -> PredictBodyError:
    return PredictBodyError(f"The body is nested more than {MAX_DEPTH} deep.")
