"""The line before the replicas."""

import asyncio

import pytest

from gateway.replicas.waiting import WaitingLine


def soon(seconds: float = 30) -> float:
    return asyncio.get_running_loop().time() + seconds


async def until_waiting(line: WaitingLine, count: int) -> None:
    while len(line) < count:
        await asyncio.sleep(0)


async def test_who_came_first_is_called_first() -> None:
    line, called = WaitingLine(8), []

    async def customer(name: str) -> None:
        if await line.wait(soon()):
            called.append(name)

    customers = []
    for count, name in enumerate("abc", 1):
        customers.append(asyncio.create_task(customer(name)))
        await until_waiting(line, count)
    for _ in "abc":
        line.call()
        await asyncio.sleep(0)
    await asyncio.gather(*customers)
    assert called == ["a", "b", "c"]


async def test_who_is_not_called_in_time_leaves_the_line() -> None:
    line = WaitingLine(8)
    assert await line.wait(soon(0)) is False
    assert len(line) == 0


async def test_a_line_knows_when_it_is_full() -> None:
    line = WaitingLine(1)
    assert not line.full
    customer = asyncio.create_task(line.wait(soon()))
    await until_waiting(line, 1)
    assert line.full
    line.call()
    assert await customer
    assert not line.full


async def test_the_call_of_one_who_left_goes_to_the_next() -> None:
    line = WaitingLine(8)
    first, second = (asyncio.create_task(line.wait(soon())) for _ in range(2))
    await until_waiting(line, 2)
    line.call()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
