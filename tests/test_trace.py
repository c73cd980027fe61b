"""How far one upload's path winds through the gateway."""

import asyncio

import pytest

from tests.trace import Trace, traced

MAX_FILES = 20
MAX_RETURNS = 15


@pytest.fixture(scope="module")
def trace() -> Trace:
    return asyncio.run(traced())


def test_one_upload_passes_few_files(trace: Trace) -> None:
    assert len(trace.files) <= MAX_FILES, str(trace)


def test_one_upload_seldom_comes_back_to_a_file_that_it_has_left(trace: Trace) -> None:
    assert trace.returns <= MAX_RETURNS, str(trace)


def test_the_trace_names_the_steps_of_the_upload_in_order(trace: Trace) -> None:
    order = [
        "api/classify.py",
        "http/uploads.py",
        "decoding/pool.py",
        "replicas/dispatch.py",
        "tfserving/rest.py",
        "answers.py",
    ]
    first = [next(at for at, step in enumerate(trace.steps) if step.file == file) for file in order]
    assert first == sorted(first)
