"""The language of display names that a caller gets: lookup, RFC 4647 section 3.4. Pure.

A request asks by `?lang=`, or else by Accept-Language (RFC 9110 section 12.5.4). Lookup shortens each wanted range from
its end until a version has names of that tag: `de-AT` finds `de`, but `de` does not find `de-AT`.
"""

import re
from collections.abc import Iterable, Mapping

LONGEST = 35
"""Characters of a tag; RFC 5646 section 4.4.1 advises to support at least as many. Longer ranges are ignored."""
MOST_RANGES = 32
"""Ranges of one Accept-Language that are read; browsers send ten at most."""
PATTERN = "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"
"""A language tag, as far as its form tells (RFC 5646 section 2.1): no registry is asked."""

_TAG = re.compile(PATTERN)
_WEIGHT = re.compile(r"[qQ]=(0(\.[0-9]{0,3})?|1(\.0{0,3})?)")


def is_tag(text: str) -> bool:
    """Whether it has the form of a BCP 47 language tag."""
    return len(text) <= LONGEST and _TAG.fullmatch(text) is not None


def ranges_of(field: str) -> list[str]:
    """The language ranges of an Accept-Language field, the most wanted first; equal weights in their order.

    What is malformed, has weight 0 or is `*` is left out: lookup would give the default for it anyway.
    """
    weighted = []
    for part in field.split(",", MOST_RANGES)[:MOST_RANGES]:
        tag, _, weight = (text.strip(" \t") for text in part.partition(";"))
        if is_tag(tag) and (not weight or _WEIGHT.fullmatch(weight)):
            weighted.append((float(weight[2:] or 1), tag))
    return [tag for weight, tag in sorted(weighted, key=lambda one: -one[0]) if weight]


def lookup(ranges: Iterable[str], tags: Mapping[str, str]) -> str | None:
    """The tag for the first range that has one.

    Args:
        tags: the tags that there are, by themselves in lower case.
    """
    for wanted in ranges:
        subtags = wanted.lower().split("-")
        while subtags:
            if found := tags.get("-".join(subtags)):
                return found
            subtags.pop()
            if subtags and len(subtags[-1]) == 1:  # a singleton, as the x of private use, never ends a tag
                subtags.pop()
    return None
