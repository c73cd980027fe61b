"""The gateway shows every kind of picture as a real Chromium shows it, but for differences that are meant."""

import pytest

from tests.pictures import chromium, differences
from tests.pictures.differences import REASONS, SAME_LEVELS
from tests.pictures.kinds import Kind

pytestmark = [pytest.mark.slow, pytest.mark.browser]
Means = list[tuple[str, Kind, float | None]]


@pytest.fixture(scope="module")
def means() -> Means:
    """Each kind with its row of the table and its mean difference, of 255; None where Chromium shows no picture."""
    if chromium.PATH is None:
        pytest.skip("no Chromium on this machine")
    rows, kinds = zip(*differences.kinds(), strict=True)
    return list(zip(rows, kinds, chromium.differences(kinds), strict=True))


def test_hundreds_of_kinds_look_the_same(means: Means) -> None:
    same = {kind.name: mean for _, kind, mean in means if not kind.differs}
    assert len(same) >= 300
    assert {name: mean for name, mean in same.items() if mean is None or mean >= SAME_LEVELS} == {}


def test_what_is_meant_to_differ_differs(means: Means) -> None:
    """Where the browser has changed its mind, the reason and its row of the table can go."""
    differing = {kind.differs for _, kind, mean in means if kind.differs and (mean is None or mean >= SAME_LEVELS)}
    assert differing == set(REASONS)


def test_the_table_of_the_documentation_is_what_this_browser_shows(means: Means) -> None:
    found = differences.rows((row, mean) for row, _, mean in means)
    written = differences.measured()
    assert {row: files for row, (files, _) in found.items()} == {row: files for row, (files, _) in written.items()}
    apart = {row: abs(most - written[row][1]) for row, (_, most) in found.items()}
    assert {row: levels for row, levels in apart.items() if levels > SAME_LEVELS} == {}
