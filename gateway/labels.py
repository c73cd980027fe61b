"""The labels (class names) of one model version, what people call them, and what else it states about itself.

A model of this project carries its labels: its signature `describe` returns one JSON document, a `Description`, which
training writes and the gateway reads (docs/model-contract.md). The labels of other models come from a file
(`gateway.label_file`).
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Self
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.languages import is_tag

Probabilities = NDArray[np.float32]
"""Model output for one picture: float32, shape (classes,), 0..1."""

MAX_LANGUAGES = 64
MAX_NAMES_BYTES = 1024 * 1024
"""Of everything beside the labels, in UTF-8 and with three bytes more for each text, as in JSON: enough for a thousand
labels with names in 25 languages. A replica that sent more could fill the gateway's memory."""

MAX_GROUP_STEPS = 32
"""Of a group's path: each of its beginnings is a group, too. The tree of life has some 30 ranks."""
MAX_SAMPLES = 8
MAX_SAMPLE_CHARACTERS = 88_000
"""Of base64: 64 KiB of JPEG, which is 320 x 320 pixels in good quality."""

JPEG_IN_BASE64 = "^/9j/([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


class NamedGroup(BaseModel):
    """A group of labels with a name for people; one without is called by the last step of its path."""

    model_config = ConfigDict(frozen=True)

    path: str = Field(description='such as "Arthropoda/Malacostraca/Decapoda"')
    display_name: str
    names: dict[str, str] = Field(default_factory=dict, max_length=MAX_LANGUAGES, description="by language tag")
    link: str = Field("", description='an http(s) address about it; "": none')


class LabelMap(BaseModel):
    """Labels, and what is known of each. Every field but the last is in the order of the labels, or empty."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[str, ...] = Field(min_length=1, description="class names, in the order of the output")
    display_names: tuple[str, ...] = Field(
        default_factory=lambda before: tuple(map(plain_name, before["labels"])),
        description="names for people; by the rule of `plain_name` where left out",
    )
    groups: tuple[str, ...] = Field((), description='paths such as "Arthropoda/Malacostraca/Decapoda"; "": none')
    names: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, max_length=MAX_LANGUAGES, description='names by language tag; "": the display name'
    )
    links: tuple[str, ...] = Field((), description='an http(s) address about each; "": none')
    named_groups: tuple[NamedGroup, ...] = Field((), description="what people call groups and their beginnings")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for column, texts in self._columns():
            if len(texts) != len(self.labels):
                raise ValueError(f"{column} has {len(texts)} entries for {len(self.labels)} labels")
        if not all(map(is_tag, self.names)) or len(self.languages) < len(self.names):
            raise ValueError("names must have language tags such as de or pt-BR, each once")
        links = (*self.links, *(group.link for group in self.named_groups))
        mistakes = chain(map(mistake_in_group, self.groups), map(mistake_in_link, links), self._mistakes_in_names())
        if mistake := next(filter(None, mistakes), ""):
            raise ValueError(mistake)
        of_labels = chain.from_iterable(texts for _, texts in self._columns())
        of_groups = ((g.path, g.display_name, g.link, *g.names, *g.names.values()) for g in self.named_groups)
        size = sum(len(text.encode()) + 3 for text in chain(of_labels, *of_groups))
        if size > MAX_NAMES_BYTES:
            raise ValueError(f"names, groups and links have {size:,} bytes; {MAX_NAMES_BYTES:,} are allowed")
        return self

    def _columns(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield "display_names", self.display_names
        yield from ((f"names of {tag}", texts) for tag, texts in self.names.items())
        yield from ((column, texts) for column in ("groups", "links") if (texts := getattr(self, column)))

    def _mistakes_in_names(self) -> Iterator[str]:
        known, named = {path for group in self.groups for path in beginnings(group)}, set[str]()
        for group in self.named_groups:
            if group.path not in known:
                yield f"the group {group.path!r} is named, and no label is in it"
            if group.path in named:
                yield f"the group {group.path!r} is named twice"
            named.add(group.path)
            if unknown := group.names.keys() - self.names.keys():
                yield f"the group {group.path!r} has a name in {min(unknown)}, which no label has"

    @cached_property
    def languages(self) -> Mapping[str, str]:
        """The language tags that there are names for, by themselves in lower case."""
        return {tag.lower(): tag for tag in self.names}

    def group_name(self, path: str, language: str | None = None) -> str:
        """What people call a group, in a language of `names` or as its display name."""
        group = self._named.get(path)
        if group is None:
            return plain_name(path.rpartition("/")[2])
        return group.names.get(language or "") or group.display_name

    @cached_property
    def _named(self) -> Mapping[str, NamedGroup]:
        return {group.path: group for group in self.named_groups}

    @cached_property
    def shown(self) -> Mapping[str, tuple[str, ...]]:
        """By language tag: the name to show for each label."""
        return {
            tag: tuple(name or plain for name, plain in zip(texts, self.display_names, strict=True))
            for tag, texts in self.names.items()
        }


def beginnings(path: str) -> list[str]:
    """A group and those around it, the widest first: of "a/b" these are "a" and "a/b"; none of ""."""
    steps = path.split("/") if path else []
    return ["/".join(steps[: depth + 1]) for depth in range(len(steps))]


def plain_name(label: str) -> str:
    """The name for people of a label that has none: blanks for underscores, `sp.` and `spp.` with their dot.

    `Pseudodromia_spp_` -> "Pseudodromia spp."; `Pasiphaea_sp._1` -> "Pasiphaea sp. 1".
    """
    first, *others = label.replace("_", " ").split() or [label]
    return " ".join([first, *(f"{word}." if word in ("sp", "spp") else word for word in others)])


def mistake_in_group(path: str) -> str:
    """Why this is no path of a group, as a sentence; empty where it is one, or none at all."""
    if path.count("/") >= MAX_GROUP_STEPS:
        return f"the group {path[:40]!r} ... has more than {MAX_GROUP_STEPS} steps: leave some out"
    if path and not all(step and step == step.strip() for step in path.split("/")):
        return f"the group {path!r} has an empty step or blanks around one: write it as Arthropoda/Malacostraca"
    return ""


def mistake_in_link(link: str) -> str:
    """Why a page must not offer this link, as a sentence; empty where it may, or where there is none."""
    try:
        parts = urlsplit(link)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and link.isprintable() and " " not in link
    except ValueError:
        fine = False
    return "" if fine or not link else f"the link {link!r} is no web address: begin it with https:// or http://"


class Preprocessing(BaseModel):
    """The preprocessing of the pixels that this model was trained on."""

    fingerprint: str = Field(description="`gateway.imaging.fingerprint()` of the code that fed the training")


class Sample(BaseModel):
    """A small picture that pages may offer to try the model with."""

    model_config = ConfigDict(frozen=True)

    title: str = Field(min_length=1, max_length=80, description="what it shows, for people")
    jpeg: str = Field(max_length=MAX_SAMPLE_CHARACTERS, pattern=JPEG_IN_BASE64, description="the file, in base64")


class Description(LabelMap):
    """What a model version states about itself. Unknown keys are kept, since newer training may add some."""

    model_config = ConfigDict(extra="allow", frozen=True)

    title: str = Field(description="name of the model for people")
    summary: str = Field("", description="one or two sentences: what it classifies, how well, its limits")
    demo: bool = Field(False, description="True: none of its classes was learnt from photos of it")
    preprocessing: Preprocessing
    temperature: float = Field(1.0, gt=0, description="calibration folded into the graph: logits / temperature")
    exhaustive: bool = Field(
        True, description="whether the probabilities sum to 1; else to at most 1, the rest for what has no label"
    )
    sure_at: float | None = Field(None, ge=0, le=1, description="confidence from which a statement counts as sure")
    familiar_at: float | None = Field(
        None, ge=0, le=1, description="familiarity below which the model knows nothing of its kind"
    )
    samples: tuple[Sample, ...] = Field((), max_length=MAX_SAMPLES, description="pictures to try it with")
    metrics: dict[str, float] = Field(
        default_factory=dict, description="on pictures that were not used in training, 0..1"
    )
    training_data: dict[str, str | int] = Field(default_factory=dict, description="the training data: digest, counts")
    code_version: str = Field("", description="version of the code that trained it")
