"""The structure of a body, and the shapes that it sends."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import PredictBodyError
from gateway.tfserving.inspection import MAX_DEPTH, MAX_IGNORED, Document, Shape, Verb, inspect
from gateway.tfserving.skeleton import MAX_EMPTY, MAX_LISTS, MAX_NUMBER, MAX_OBJECTS, MAX_STRINGS, MAX_VALUES


def sent(body: str, verb: Verb = "predict") -> Shape | Mapping[str, Shape | None]:
    return inspect(verb, body.encode()).sent


def refusal(body: str | bytes, verb: Verb = "predict") -> str:
    with pytest.raises(PredictBodyError) as refused:
        inspect(verb, body.encode() if isinstance(body, str) else body)
    return refused.value.detail


@pytest.mark.parametrize(
    ("body", "shapes"),
    [
        ('{"instances": [1.0, 2]}', (2,)),
        ('{"instances": ["a"]}', (1,)),
        ('{"instances": [{"b64": "AAAA"}, "b"]}', (2,)),
        ('{"instances": [[[1, 2, 3], [4, 5, 6]]]}', (1, 2, 3)),
        ('{"instances": [[1], [2]]}', (2, 1)),
        ('{"instances": [[ ], []]}', (2, 0)),
        ('{"instances": [[[], []], [[], []]]}', (2, 2, 0)),
        ('{"inputs": {"a": [], "b": [1], "c": [[[]]]}}', {"a": (0,), "b": (1,), "c": (1, 1, 0)}),
        ('{"instances": [{"a": 1, "b": [1, 2]}, {"b": [3, 4], "a": 2}]}', {"a": (2,), "b": (2, 2)}),
        ('{"instances": [{"b64": 5}]}', {"b64": (1,)}),
        ('{"instances": [{}]}', {}),
        ('{"inputs": 5.0}', ()),
        ('{"inputs": "a"}', ()),
        ('{"inputs": {"b64": "AAAA"}}', ()),
        ('{"inputs": []}', (0,)),
        ('{"inputs": {"a": [1.5], "b": 2, "c": [{"d": 1}]}}', {"a": (1,), "b": (), "c": None}),
        ('{"inputs": {}}', {}),
        ('\ufeff {"instances":[NaN, -Infinity]} xyz', (2,)),
        ('{"instances":[1]}{"instances":[1,2]}', (1,)),
        ('{"foo": {"instances": [[]]}, "instances": [1], "zzz": null}', (1,)),
        ('{"inst\\u0061nces": [1]}', (1,)),
        ('{"instances": ["[[[{\\"", "]\\\\", "\\u0022["]}', (3,)),
    ],
)
def test_the_shape_of_every_input_is_found(body: str, shapes: Shape | Mapping[str, Shape | None]) -> None:
    assert sent(body) == shapes


@pytest.mark.parametrize("body", ["[[1], [1, 2]]", "[[1], []]", "[[1], 2]", "[1, [2]]", "[[[1, 2]], [[1], [2]]]"])
@pytest.mark.parametrize("member", ["instances", "inputs"])
def test_ragged_lists_are_refused(body: str, member: str) -> None:
    assert "different lengths or depths" in refusal(f'{{"{member}": {body}}}')


@pytest.mark.parametrize(
    ("name", "signature"),
    [('"a"', "a"), ('"\\u0061"', "a"), ('""', "serving_default"), ('"a\\u0000"', "a\0"), ('"}]"', "}]")],
)
def test_the_signature_is_read_as_the_server_reads_it(name: str, signature: str) -> None:
    decoy = '"x": {"signature_name": "no"}, "signature_name '
    for body in (f'{{"signature_name": {name}, "instances": [1]}}', f'{{{decoy}": 1, "instances": [1]}}'):
        found = inspect("predict", body.encode()).signature
        assert found == (signature if decoy not in body else "serving_default")


def test_a_member_keeps_its_meaning_behind_many_others() -> None:
    others = ",".join(f'"{at}": 1' for at in range(300))
    document = inspect("predict", f'{{{others}, "signature_name": "s", "instances": [1]}}'.encode())
    assert (document.signature, document.sent) == ("s", (1,))


@pytest.mark.parametrize(
    "body",
    [
        '{"instances": [1], "instances": [2]}',
        '{"instances": [1], "\\u0069nstances": [2]}',
        '{"inputs": {"a": 1, "a": [1]}}',
        '{"instances": [{"a": 1, "\\u0061": 2}]}',
        '{"signature_name": "a", "signature_name": "b", "instances": [1]}',
    ],
)
def test_two_members_of_one_name_are_refused(body: str) -> None:
    assert refusal(body) == "The body has two members of one name."


@pytest.mark.parametrize("at", range(6))
def test_depth_is_bounded_wherever_it_is(at: int) -> None:
    deep, deepest = "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), "[" * 12 + "1" + "]" * 12
    places = [
        '{"instances": DEEP}',
        '{"instances": [1], "x": DEEP}',
        '{"x": {"y": DEEP}, "instances": [1]}',
        '{"x": "\\\\", "instances": DEEP, "y": "\\\\"}',
        '{"instances": [{"a": DEEP}]}',
        '{"instances": [1]} DEEP',
    ]
    assert refusal(places[at].replace("DEEP", deep)) == f"The body is nested more than {MAX_DEPTH} deep."
    assert inspect("predict", places[at].replace("DEEP", deepest).encode())


@pytest.mark.parametrize(
    ("body", "most"),
    [
        (b'{"instances":[' + b"[1]," * MAX_LISTS + b"[1]]}", MAX_LISTS),
        (b'{"instances":[' + b"[]," * MAX_EMPTY + b"[]]}", MAX_EMPTY),
        (b'{"instances":[' + b"[ ]," * MAX_EMPTY + b"[ ]]}", MAX_EMPTY),
        (b'{"instances":[' + b"{}," * MAX_OBJECTS + b"{}]}", MAX_OBJECTS),
        (b'{"instances":[' + b"1," * (MAX_VALUES + 1) + b"1]}", MAX_VALUES),
        (b'{"instances":[' + b'"",' * MAX_STRINGS + b'""]}', MAX_STRINGS),
        (b'{"instances":["' + b"\\\\" * MAX_STRINGS * 17 + b'"]}', MAX_STRINGS * 16),
        (b'{"instances":[' + b"1" * 4 * MAX_NUMBER + b"]}", MAX_NUMBER),
        (b'{"instances":[1],"x":[' + b"[]," * MAX_IGNORED + b"1]}", MAX_IGNORED),
        (b'{"instances":[1]}' + b"[]" * MAX_IGNORED, MAX_IGNORED),
    ],
    ids=[
        "lists",
        "empty lists",
        "empty lists, spaced",
        "objects",
        "values",
        "strings",
        "escapes",
        "digits",
        "ignored",
        "behind",
    ],
)
def test_every_bound_is_named(body: bytes, most: int) -> None:
    assert f"more than {most:,} " in refusal(body)


@pytest.mark.parametrize("count", [MAX_NUMBER - 1, MAX_NUMBER])
def test_a_number_of_some_hundred_digits_passes(count: int) -> None:
    for before in range(0, MAX_NUMBER, 17):
        assert sent('{"instances":[' + " " * before + "1" * count + "]}") == (1,)


NUMBERS = {"whole": ("7", ","), "spaced": ("255", ", "), "floats": ("0.8392156", ", "), "words": ("-Infinity", ",\n")}


def tensor(sizes: Sequence[int], number: str, separator: str) -> str:
    """All of its numbers are the same."""
    for size in reversed(sizes):
        number = f"[{separator.join([number] * size)}]"
    return number


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("sizes", [(500_000,), (1, 100_001, 3), (33, 70, 70, 3), (7, 50_000, 1), (1, 1, 1, 65_537)])
def test_the_shape_of_a_large_tensor_is_read(sizes: Shape, number: str) -> None:
    assert sent(f'{{"instances":{tensor(sizes, *NUMBERS[number])}}}') == sizes


@pytest.mark.parametrize("size", [*range(1, 70), 127, 128, 129, 4095, 4096, 4097])
def test_lists_of_every_length_are_counted(size: int) -> None:
    assert sent(f'{{"instances":[{",".join(["[[1],[2]]"] * size)}]}}') == (size, 2, 1)


@pytest.mark.parametrize("number", NUMBERS)
def test_one_value_too_many_or_too_few_anywhere_in_a_large_tensor_is_refused(number: str) -> None:
    one, separator = NUMBERS[number]
    whole = tensor((33, 70, 70, 3), one, separator)
    at = len(whole) // 3
    while at < len(whole) - 5:
        comma = whole.index(f"{separator}{one}", at)
        more = whole[:comma] + separator + one + whole[comma:]
        fewer = whole[:comma] + whole[comma + len(separator + one) :]
        assert "different lengths" in refusal(f'{{"instances":{more}}}')
        assert "different lengths" in refusal(f'{{"instances":{fewer}}}')
        at = comma + len(whole) // 7
    assert "different lengths" in refusal(f'{{"instances":{whole[:-2] + separator + one + whole[-2:]}}}')


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_examples_are_counted(verb: Verb) -> None:
    body = '{"examples": [{"x": 1.0}, {"x": [2, 3], "y": {"b64": "AA"}, "z": []}, {}], "context": {"a": ["b"]}}'
    assert sent(body, verb) == (3,)


@pytest.mark.parametrize(
    "body",
    [
        '{"examples": []}',
        '{"examples": 5}',
        '{"examples": [5]}',
        '{"examples": {"x": 1}}',
        '{"examples": [{"x": [[1]]}]}',
        '{"examples": [{"x": [[]]}]}',
        '{"examples": [{"x": {"y": 1}}]}',
        '{"examples": [{"x": [{"y": 1}]}]}',
        '{"examples": [{"x": 1}, [1]]}',
        '{"examples": [{"x": 1}, [1], {"x": 1}]}',
        '{"examples": [{"x": 1}, [], {}]}',
        '{"examples": [{"x": [1, [2]]}]}',
        '{"examples": [{"x": ]1[}]}',
        '{"examples": [{}], "context": [1]}',
        '{"examples": [{}], "context": {"x": {}}}',
        '{"instances": [1]}',
    ],
)
def test_examples_of_another_form_are_refused(body: str) -> None:
    assert refusal(body, "classify")


@pytest.mark.parametrize(
    "body", ["", " ", "null", "5", "[1]", "hello", "{", "{}", '{"instances": [1', '{"instances"', "\0"]
)
def test_what_is_no_object_with_data_is_refused(body: str) -> None:
    assert refusal(body)


# --- compared with a slow and plain reading -------------------------------------------------------------------------


def plain(body: str) -> Document:
    """The same verdict from a whole parse."""
    document = json.loads(body, object_pairs_hook=once)
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise PredictBodyError("not of the form")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise PredictBodyError("no string")
    read = rows if "instances" in document else columns
    shapes = read(document.get("instances", document.get("inputs")))
    return Document("predict", signature or "serving_default", shapes, columns=read is columns)


def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """No name twice: which of the two counts differs between parsers, and has tests of its own."""
    if len(dict(members)) < len(members):
        raise ValueError("a name twice")
    return dict(members)


def rows(instances: Any) -> Shape | Mapping[str, Shape | None]:
    if not isinstance(instances, list) or not instances:
        raise PredictBodyError("no list")
    if not isinstance(instances[0], dict) or is_b64(instances[0]):
        return shape(instances)
    if not all(isinstance(instance, dict) and not is_b64(instance) for instance in instances):
        raise PredictBodyError("mixed")
    first, *others = [{name: shape(value) for name, value in instance.items()} for instance in instances]
    if any(other != first for other in others):
        raise PredictBodyError("ragged")
    return {name: (len(instances), *sizes) for name, sizes in first.items()}


def columns(inputs: Any) -> Shape | Mapping[str, Shape | None]:
    if not isinstance(inputs, dict) or is_b64(inputs):
        return shape(inputs)
    return {name: shape_or_none(value) for name, value in inputs.items()}


def shape_or_none(value: Any) -> Shape | None:
    try:
        return shape(value)
    except PredictBodyError:
        return None


def shape(value: Any) -> Shape:
    """Of a value or of nested lists. Strings and other values at one level are a mixture that no type takes."""
    return kinds(value)[0]


def kinds(value: Any) -> tuple[Shape, bool | None]:
    """The shape, and whether the leaves are strings; None: there are none."""
    if not isinstance(value, list):
        if isinstance(value, dict) and not is_b64(value):
            raise PredictBodyError("an object")
        return (), isinstance(value, str | dict)
    if not value:
        return (0,), None
    first, *others = map(kinds, value)
    if any(other != first for other in others):
        raise PredictBodyError("ragged")
    return (len(value), *first[0]), first[1]


def is_b64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


TEXTS = st.text(alphabet='ab[]{},:"\\/\u00e9\n0', max_size=6)
NAMES = st.sampled_from(["a", "b", "b64", "é", 'q"', "\\", "[", "signature_name", "instances"])
LEAVES = st.one_of(st.integers(-99, 99), st.floats(allow_nan=True), st.booleans(), st.none(), TEXTS)
B64 = st.fixed_dictionaries({"b64": TEXTS})


def tensors(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nested lists of one shape."""
    sizes = st.lists(st.integers(0, 3), max_size=3)
    return sizes.flatmap(lambda at: leaves if not at else _nested(leaves, at))


def _nested(leaves: st.SearchStrategy[Any], sizes: list[int]) -> st.SearchStrategy[Any]:
    inner = _nested(leaves, sizes[1:]) if len(sizes) > 1 else leaves
    return st.lists(inner, min_size=sizes[0], max_size=sizes[0])


VALUES = st.one_of(
    *(tensors(leaves) for leaves in (st.integers(0, 9), TEXTS, B64, st.one_of(TEXTS, B64))),
    st.recursive(
        st.one_of(LEAVES, B64),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=2)),
        max_leaves=8,
    ),
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["instances", "inputs", "signature_name", "x", "b64", 'y"']),
    st.one_of(VALUES, OBJECTS, st.lists(OBJECTS, min_size=1, max_size=3), TEXTS),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_a_whole_parse_comes_to_the_same_verdict(document: Any, ascii_only: bool, indent: Any) -> None:
    same_verdict(json.dumps(document, ensure_ascii=ascii_only, indent=indent))


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.integers(0, 10_000), st.sampled_from(list('[]{},:"\\ 1a')), st.booleans())
def test_a_mistake_anywhere_is_refused_or_changes_nothing_that_a_parser_would_read(
    document: Any, place: int, character: str, inserted: bool
) -> None:
    body = json.dumps(document)
    at = place % (len(body) + 1)
    same_verdict(body[:at] + character + body[at + (not inserted) :], valid=False)


def same_verdict(body: str, *, valid: bool = True) -> None:
    """Where the body is not valid, a verdict for it does not matter, but must be one."""
    expected = found = None
    try:
        expected = plain(body)
    except PredictBodyError:
        pass
    except ValueError:
        assert not valid
        with contextlib.suppress(PredictBodyError):
            inspect("predict", body.encode())
        return
    with contextlib.suppress(PredictBodyError):
        found = inspect("predict", body.encode())
    assert found == expected
