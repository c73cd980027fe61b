"""Log lines reach standard error, or are dropped and counted; no request waits for them."""

import gc
import io
import json
import os
import sys

import pytest

from gateway.observe import logs, metrics
from gateway.observe.sink import Sink


def dropped() -> float:
    return float(metrics.LOG_LINES_DROPPED._value.get())


def test_lines_that_are_not_read_are_dropped_counted_and_reported_later() -> None:
    reading, writing = os.pipe()
    before = dropped()
    with os.fdopen(writing, "w") as stream:
        sink = Sink(stream)
        for _ in range(2000):
            sink.write("x" * 100 + "\n")
        missing = int(dropped() - before)
        assert 0 < missing < 2000
        assert sink.dropped == missing
        while len(os.read(reading, 65536)) == 65536:
            """until it is empty"""
        sink.write("after\n")
        assert os.read(reading, 65536).decode().splitlines() == [
            f'{{"event": "log lines dropped", "count": {missing}}}',
            "after",
        ]
    os.close(reading)


def test_a_line_whose_reader_has_gone_is_dropped_without_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    before = dropped()
    with os.fdopen(writing, "w") as stream:
        Sink(stream).write("line\n")
    assert dropped() == before + 1


def test_a_sink_outlives_the_stream_it_writes_to() -> None:
    """Python 3.13 reports what a finaliser raises, and pytest fails the test that caused the report."""
    stream = io.TextIOWrapper(io.BytesIO())
    sink = Sink(stream)
    stream.close()
    del sink
    gc.collect()


def test_a_long_line_arrives_whole(capfd: pytest.CaptureFixture[str]) -> None:
    Sink(sys.__stderr__ or sys.stderr).write("y" * 20_000 + "\n")
    assert capfd.readouterr().err == "y" * 20_000 + "\n"


def test_the_logs_go_through_it(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logs.log.info("hello", answer=42)
    assert json.loads(capfd.readouterr().err)["answer"] == 42
