"""Which version a request is bound to."""

import pytest

from gateway.replicas.versions import Binding, Canary, Versions
from gateway.tfserving import Call, Reply


async def bound(asked: str | None, canary: Canary | None) -> Binding:
    async def forward(call: Call, *, deadline: float) -> Reply:
        pytest.fail("a replica was asked")

    versions = Versions(forward, model_name="m", canary=canary, caller_of=lambda _: "10.0.0.1")
    return await versions.binding(asked, None, deadline=0)


async def test_a_request_without_a_version_is_bound_by_its_first_replica() -> None:
    assert await bound(None, None) == Binding(version=None, strict=False)


async def test_a_request_for_a_version_gets_no_other() -> None:
    assert await bound("7", Canary("8", 1.0)) == Binding(version="7", strict=True)


async def test_a_request_of_the_canary_may_get_another_version_where_the_canary_is_gone() -> None:
    assert await bound(None, Canary("8", 1.0)) == Binding(version="8", strict=False)


def test_a_canary_takes_its_share_of_the_callers() -> None:
    canary = Canary("8", 0.05)
    taken = sum(canary.takes(f"10.0.{i // 250}.{i % 250}") for i in range(20_000))
    assert 900 < taken < 1100


def test_a_caller_stays_on_its_side() -> None:
    canary = Canary("8", 0.5)
    sides = {caller: canary.takes(caller) for caller in ("anna", "ben", "cleo", "dora")}
    assert all(canary.takes(caller) is side for caller, side in sides.items() for _ in range(10))


def test_a_caller_in_a_small_share_is_in_a_larger_one() -> None:
    callers = [f"caller {i}" for i in range(1000)]
    small = {caller for caller in callers if Canary("8", 0.1).takes(caller)}
    assert small <= {caller for caller in callers if Canary("8", 0.3).takes(caller)}


def test_the_next_canary_takes_other_callers() -> None:
    callers = [f"caller {i}" for i in range(1000)]
    first, second = ({c for c in callers if Canary(v, 0.1).takes(c)} for v in ("8", "9"))
    assert len(first & second) < 30
