"""A line of the log has at most 2 KB, in both formats, whoever writes it."""

import json
import logging
from typing import Any, Literal

import pytest
import structlog

from gateway.observe import lines, logs

Capture = pytest.CaptureFixture[str]
Style = Literal["json", "text"]

LONG: dict[str, Any] = {
    "ascii": "x" * 300_000,
    "control": "\x01" * 100_000,
    "wide": "\N{GRINNING FACE}" * 100_000,
    "half": "\ud800" * 100_000,
    "list": [f"replica-{number}" for number in range(10_000)],
    "nested": {"a": {"b": ["c" * 50_000] * 10}},
}


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("kind", LONG)
def test_a_line_is_cut_to_two_kilobytes_and_says_what_is_missing(kind: str, style: Style, capsys: Capture) -> None:
    logs.configure(style, "info")
    logs.log.info("hello", first=1, value=LONG[kind], last="end")
    line = capsys.readouterr().err
    assert len(line.encode(errors="replace")) <= lines.MAX_BYTES
    assert line.count("\n") == 1
    assert "characters left out" in line
    if style == "json":
        written = json.loads(line)
        assert (written["event"], written["first"], written["last"]) == ("hello", 1, "end")


def test_a_line_of_many_long_values_keeps_every_key(capsys: Capture) -> None:
    logs.configure("json", "info")
    values = {f"key{number}": "v" * 5000 for number in range(20)}
    logs.log.info("hello", **values)
    line = capsys.readouterr().err
    assert len(line) <= lines.MAX_BYTES
    assert set(json.loads(line)) == {*values, "event", "level", "timestamp"}


def test_a_line_that_fits_is_left_as_it_is(capsys: Capture) -> None:
    logs.configure("json", "info")
    logs.log.info("hello", value="v" * 1800, numbers=[1, 2])
    written = json.loads(capsys.readouterr().err)
    assert (written["value"], written["numbers"]) == ("v" * 1800, [1, 2])


def deep(levels: int) -> None:
    if levels == 0:
        raise RuntimeError("the message" + "m" * 5000)
    try:
        deep(levels - 1)
    except (RuntimeError, ValueError) as cause:
        raise ValueError(f"level {levels}") from cause


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("logger", ["structlog", "uvicorn.error", "asyncio", "aiohttp.client"])
def test_a_traceback_is_cut_in_the_middle_whichever_library_logs_it(logger: str, style: Style, capsys: Capture) -> None:
    logs.configure(style, "info")
    try:
        deep(12)
    except ValueError as failure:
        if logger == "structlog":
            structlog.get_logger().error("defect", exc_info=failure)
        else:
            logging.getLogger(logger).error("defect %s", "x" * 9000, exc_info=failure)
    line = capsys.readouterr().err
    assert len(line.encode()) <= lines.MAX_BYTES
    assert "characters left out" in line
    assert "level 12" in line  # the end of the traceback
    if style == "json":
        assert json.loads(line)["exception"].startswith("Traceback")


def test_what_is_cut_is_counted() -> None:
    assert lines.cut("a" * 5 + "b" * 1500 + "c" * 5, 10) == "aaaaa[1,500 characters left out]ccccc"
    assert lines.cut("short", 5) == "short"
