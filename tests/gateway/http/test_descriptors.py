"""The sum of the file descriptors, against the limit of the process."""

import resource

import pytest

from gateway.http import descriptors
from gateway.observe import logs
from gateway.settings import Settings

Limits = tuple[int, int]
SETTINGS = Settings(upstream="a:1,b:1", max_connections=1000, replica_max_in_flight=30, decode_processes=4)
OTHERS = 64 + 2 * (30 + 2) + 3 * 4


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[Limits]:
    """The limits of the process, soft and hard, the last one counting; the test sets the first."""
    seen: list[Limits] = []

    def set_to(_: int, limit: Limits) -> None:
        if limit[0] > seen[-1][1] != resource.RLIM_INFINITY:
            raise ValueError("not allowed to raise maximum limit")
        seen.append(limit)

    monkeypatch.setattr(resource, "getrlimit", lambda _: seen[-1])
    monkeypatch.setattr(resource, "setrlimit", set_to)
    return seen


@pytest.mark.parametrize(
    ("settings", "others"),
    [
        (SETTINGS, OTHERS),
        (SETTINGS.model_copy(update={"upstream": "dns://a:1"}), 64 + 16 * 32 + 12),
        (SETTINGS.model_copy(update={"upstream": "", "embedded_replicas": 3}), 64 + 3 * 32 + 12),
    ],
)
def test_the_sum_counts_replicas_decode_processes_and_our_own(settings: Settings, others: int) -> None:
    assert descriptors.needed(settings) == others


@pytest.mark.parametrize("limit", [(1000 + OTHERS, 5000), (200_000, 200_000)])
def test_where_all_fits_nothing_is_changed(limits: list[Limits], limit: Limits) -> None:
    limits.append(limit)
    assert descriptors.room(SETTINGS) == (1000, limit[0] - descriptors.RESERVE)
    assert limits == [limit]


@pytest.mark.parametrize("hard", [5000, resource.RLIM_INFINITY])
def test_the_soft_limit_is_raised_to_the_sum(limits: list[Limits], hard: int) -> None:
    limits.append((256, hard))
    assert descriptors.room(SETTINGS)[0] == 1000
    assert limits[-1] == (1000 + OTHERS, hard)


def test_where_the_sum_does_not_fit_there_are_fewer_connections_and_a_line_with_what_to_do(
    limits: list[Limits], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json", "info")
    limits.append((256, 500))
    assert descriptors.room(SETTINGS) == (500 - OTHERS, 500 - descriptors.RESERVE)
    assert f"nofile) to {1000 + OTHERS}" in capsys.readouterr().err


def test_half_of_very_few_are_for_connections(limits: list[Limits]) -> None:
    limits.append((100, 100))
    assert descriptors.room(SETTINGS) == (50, 84)
