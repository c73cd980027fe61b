"""Bodies of TensorFlow Serving's paths that kill or stall a parser or a kernel; none may reach a replica."""

import gzip
from dataclasses import dataclass, field

DEEP = 60_000
"""Levels that overflow the real server's stack."""
MANY = 1_000_000


@dataclass(frozen=True)
class Poison:
    """One call that must be refused."""

    body: bytes
    verb: str = "predict"
    headers: dict[str, str] = field(default_factory=dict)


def lists(levels: int, inside: bytes = b"1") -> bytes:
    return b"[" * levels + inside + b"]" * levels


def objects(levels: int, inside: bytes = b"1") -> bytes:
    return b'{"a":' * levels + inside + b"}" * levels


def mixture(levels: int) -> bytes:
    return b'[{"a":' * levels + b"1" + b"}]" * levels


def instances(value: bytes) -> bytes:
    return b'{"instances":' + value + b"}"


def inputs(value: bytes) -> bytes:
    return b'{"inputs":' + value + b"}"


def examples(value: bytes) -> bytes:
    return b'{"examples":' + value + b"}"


GZIP = {"Content-Encoding": "gzip"}
PACKED = gzip.compress(instances(lists(MANY)))

POISON = {
    # --- floats of another rank: the convolution of a plain export aborts the process ---
    "rank 0": Poison(inputs(b"1.0")),
    "rank 1": Poison(instances(b"[1.0,2.0]")),
    "rank 2": Poison(instances(b"[[1,1,1]]")),
    "rank 3": Poison(inputs(b"[[[1,1,1]]]")),
    "rank 5": Poison(instances(b"[[[[[1,1,1]]]]]")),
    "rank 2, by name": Poison(instances(b'[{"image":[1,1,1]}]')),
    "rank 2, by name, in columns": Poison(inputs(b'{"image":[[1,1,1]]}')),
    "a million numbers": Poison(instances(b"[" + b"1," * MANY + b"1]")),
    "two by two pixels": Poison(instances(b"[[[[1,1,1],[1,1,1]],[[1,1,1],[1,1,1]]]]")),
    "words that are numbers to the server": Poison(instances(b"[NaN,Infinity,-Infinity]")),
    "an escaped member": Poison(b'{"inst\\u0061nces":[1.0,2.0]}'),
    "an escaped name": Poison(instances(b'[{"im\\u0061ge":[1,1,1]}]')),
    "the first of two members": Poison(b'{"instances":[1.0],"instances":' + lists(4) + b"}"),
    "a second member, escaped": Poison(b'{"instances":' + lists(4) + b',"\\u0069nstances":[1.0]}'),
    # --- nesting ---
    "deep lists": Poison(instances(lists(DEEP))),
    "deep lists in columns": Poison(inputs(lists(DEEP))),
    "deep lists by name": Poison(inputs(b'{"image":' + lists(DEEP) + b"}")),
    "deep lists in an instance": Poison(instances(b'[{"image":' + lists(DEEP) + b"}]")),
    "deep objects": Poison(instances(b"[" + objects(DEEP) + b"]")),
    "deep objects in columns": Poison(inputs(objects(DEEP))),
    "a deep mixture": Poison(instances(mixture(DEEP))),
    "deep base64": Poison(instances(b"[" + b'{"b64":' * DEEP + b'"AAAA"' + b"}" * DEEP + b"]")),
    "a deep second instance": Poison(instances(b"[1," + lists(DEEP) + b"]")),
    "depth in an unknown member": Poison(b'{"x":' + lists(DEEP) + b',"instances":' + lists(4) + b"}"),
    "depth behind the instances": Poison(b'{"instances":' + lists(4) + b',"x":' + objects(DEEP) + b"}"),
    "depth behind the document": Poison(instances(lists(4)) + lists(DEEP)),
    "depth behind a string of brackets": Poison(b'{"signature_name":"]]]]\\"]]]]","instances":' + lists(DEEP) + b"}"),
    "depth behind a backslash": Poison(b'{"x":"\\\\","instances":' + lists(DEEP) + b',"y":"\\\\"}'),
    "depth outside any object": Poison(lists(DEEP)),
    "a million unbalanced lists": Poison(instances(b"[" * MANY)),
    "a million unbalanced objects": Poison(b'{"a":' * MANY),
    "a million closing brackets": Poison(instances(b"[1") + b"]" * MANY),
    # --- many ---
    "a million empty lists": Poison(instances(b"[" + b"[]," * MANY + b"[]]")),
    "ten million empty lists": Poison(instances(b"[" + b"[]," * 10 * MANY + b"[]]")),
    "a million empty lists in columns": Poison(inputs(b"[" + b"[]," * MANY + b"[]]")),
    "a million empty objects": Poison(instances(b"[" + b"{}," * MANY + b"{}]")),
    "200,000 strings in base64": Poison(instances(b"[" + b'{"b64":""},' * 200_000 + b'{"b64":""}]')),
    "a million members": Poison(b"{" + b'"a":1,' * MANY + b'"instances":[1]}'),
    "a million escapes": Poison(instances(b'["' + b"\\\\" * MANY + b'"]')),
    "a million quotes": Poison(b'"' * MANY),
    # --- long ---
    "two million digits": Poison(instances(b"[[[[" + b"1" * 2 * MANY + b"]]]]")),
    "a long exponent": Poison(instances(b"[[[[1e" + b"9" * MANY + b"]]]]")),
    "a long string": Poison(instances(b'["' + b"a" * MANY + b'"]')),
    "a long name": Poison(instances(b'[{"' + b"a" * MANY + b'":1}]')),
    "a long signature": Poison(b'{"signature_name":"' + b"a" * MANY + b'","instances":[1]}'),
    "nothing but white space": Poison(b" " * 10 * MANY),
    # --- not JSON, or not of the form ---
    "nothing": Poison(b""),
    "NULs": Poison(b"\0" * MANY),
    "invalid UTF-8": Poison(instances(b'["' + b"\xff" * MANY)),
    "UTF-16": Poison(instances(b"[1]").decode().encode("utf-16")),
    "ragged lists": Poison(instances(b"[[1],[1,2]]")),
    "an empty list": Poison(inputs(b"[]")),
    "no instances": Poison(instances(b"[]")),
    "both formats": Poison(b'{"instances":[1],"inputs":[1]}'),
    "no string as signature": Poison(b'{"signature_name":' + lists(DEEP) + b',"instances":[1]}'),
    # --- packed ---
    "gzip": Poison(PACKED, headers=GZIP),
    "gzip in gzip": Poison(gzip.compress(PACKED), headers={"Content-Encoding": "gzip, gzip"}),
    "gzip of empty lists": Poison(gzip.compress(instances(b"[" + b"[]," * 10 * MANY + b"[]]")), headers=GZIP),
    "gzip without its header": Poison(PACKED),
    "deflate": Poison(b"x", headers={"Content-Encoding": "deflate"}),
    "another coding behind identity": Poison(b"{}", headers={"Content-Encoding": "identity, gzip"}),
    # --- classify and regress ---
    **{
        f"{name}, {verb}": Poison(body, verb)
        for verb in ("classify", "regress")
        for name, body in {
            "deep features": examples(b'[{"x":' + lists(DEEP) + b"}]"),
            "deep examples": examples(lists(DEEP)),
            "deep objects": examples(b"[" + objects(DEEP) + b"]"),
            "a deep context": b'{"context":' + objects(DEEP) + b',"examples":[{}]}',
            "depth behind the examples": b'{"examples":[{}],"x":' + lists(DEEP) + b"}",
            "a million examples": examples(b"[" + b"{}," * MANY * 10 + b"{}]"),
            "a million empty features": examples(b'[{"x":[' + b"[]," * MANY + b"[]]}]"),
            "a long number": examples(b'[{"x":' + b"1" * MANY + b"}]"),
            "floats for a float signature": b'{"signature_name":"serving_default","examples":[{"image":1.0}]}',
        }.items()
    },
}
"""By name. They are refused for the signatures of this project's models and for those of a plain Keras export."""
