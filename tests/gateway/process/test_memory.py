"""The C library's thresholds, in a separate process: they cannot be read, so their effect is tested."""

import os
import subprocess
import sys

import pytest

from gateway.process.memory import keep_freed_blocks

FAULTS = """
import resource, sys
from gateway.process.memory import keep_freed_blocks
if sys.argv[1] == "tuned":
    assert keep_freed_blocks() is True
def churn():
    for _ in range(200):
        bytearray(2_000_000)
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GARBAGE = """
import gc
from gateway.process.memory import collect_garbage_rarely
collect_garbage_rarely()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold() == (20_000, 20, 20)
"""
BURST = """
import asyncio, psutil
from gateway.process.memory import give_back_regularly, keep_freed_blocks
keep_freed_blocks()

def resident() -> int:
    return psutil.Process().memory_info().rss

async def main() -> None:
    burst, small = [], []
    for _ in range(200):
        burst.append(bytearray(200_000))
        small.append(bytearray(600))
    full = resident()
    burst.clear()
    assert resident() > full - 2_000_000
    async with asyncio.timeout(30):
        regularly = asyncio.create_task(give_back_regularly(every_s=0.01))
        while resident() > full - 35_000_000:
            await asyncio.sleep(0.01)
        regularly.cancel()

asyncio.run(main())
"""


def page_faults(how: str, **environment: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], env=os.environ | environment, stdout=subprocess.PIPE, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_memory_of_a_burst_goes_back_to_the_kernel_although_small_blocks_above_it_live_on() -> None:
    subprocess.run([sys.executable, "-c", BURST], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_blocks_of_two_megabytes_are_used_again_without_asking_the_kernel() -> None:
    mapped_each_time = page_faults("as it is", MALLOC_MMAP_THRESHOLD_="131072")
    assert mapped_each_time > 200 * 400
    assert page_faults("tuned") < mapped_each_time / 10


def test_garbage_is_searched_for_rarely_and_never_among_what_the_start_has_made() -> None:
    subprocess.run([sys.executable, "-c", GARBAGE], check=True)


def test_the_environment_overrides_the_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert keep_freed_blocks() is False
