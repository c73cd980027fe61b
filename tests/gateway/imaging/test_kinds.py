"""Every kind of picture that `tests/pictures` draws shows what its plain twin shows."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from gateway.imaging import preprocess
from tests.pictures import gifs, jpegs, pngs, webps
from tests.pictures.kinds import Kind

GROUPS = (
    *(jpegs.coded, jpegs.profiles, jpegs.turned, jpegs.annotated, jpegs.ended, jpegs.arithmetic),
    *(pngs.depths, pngs.transparent, pngs.profiles, pngs.gamma, pngs.turned, pngs.animated, pngs.annotated, pngs.ended),
    *(gifs.plain, gifs.transparent, gifs.animated, gifs.within_screen, gifs.ended),
    *(webps.stills, webps.turned, webps.animated, webps.ended),
)
MOST_LEVELS = {"JPEG": 3.5, "WebP": 3.5, "GIF": 0.5, "PNG": 1.5}
"""Largest mean difference to the twin, of 255: coding with losses, and the rounding of colour transforms."""


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{group.__module__.rpartition('.')[2]}-{group.__name__}")
def test_every_kind_shows_what_its_plain_twin_shows(group: Callable[[], Iterator[Kind]]) -> None:
    differences = {kind.name: np.abs(preprocess(kind.data).astype(int) - kind.twin).mean() for kind in group()}
    assert {name: mean for name, mean in differences.items() if mean > MOST_LEVELS[name.partition(":")[0]]} == {}
