"""The C library's thresholds, in a process of its own: they cannot be read, only seen to work."""

import os
import subprocess
import sys

import pytest

from gateway.allocator import keep_freed_blocks

FAULTS = """
import resource, sys
from gateway.allocator import keep_freed_blocks
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


def page_faults(how: str, **environment: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], env=os.environ | environment, stdout=subprocess.PIPE, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_blocks_of_two_megabytes_are_used_again_without_asking_the_kernel() -> None:
    mapped_each_time = page_faults("as it is", MALLOC_MMAP_THRESHOLD_="131072")
    assert mapped_each_time > 200 * 400
    assert page_faults("tuned") < mapped_each_time / 10


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert keep_freed_blocks() is False
