"""A decode process that answers what our code never sends: the picture it decodes may have taken it over."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from gateway.decoding.pool import Decoders
from gateway.decoding.protocol import ANSWER, DECODED, JOB, LARGER, LONGEST_TEXT_BYTES, REFUSED
from gateway.errors import DecoderCrashedError, ImageEmptyError
from gateway.imaging import RGB_BYTES
from gateway.observe import metrics
from tests import pictures
from tests.gateway.decoding.conftest import OPEN, StartDecoders, until

PICTURE = pictures.png((40, 30))
PIXELS = bytes(RGB_BYTES)


def answer(kind: int, payload: bytes, *, format_at: int = 0, width: int = 40, height: int = 30) -> bytes:
    return ANSWER.pack(kind, format_at, width, height, len(payload)) + payload


@contextmanager
def taken_over(decoders: Decoders) -> Iterator[tuple[psutil.Process, socket.socket]]:
    """The idle decode process, and the far end of its socket, which the test holds in its place.

    The process itself does not notice, and is stopped: it ends only when it is killed.
    """
    (process,) = decoders.quick._idle
    real, (process._jobs, theirs) = process._jobs, socket.socketpair()
    process._jobs.setblocking(False)
    worker = psutil.Process(process.pid)
    worker.suspend()
    with real, theirs:
        yield worker, theirs


async def answer_one(theirs: socket.socket, data: bytes) -> None:
    """Read one job and answer it."""
    loop = asyncio.get_running_loop()
    theirs.setblocking(False)
    await loop.sock_recv(theirs, JOB.size + len(PICTURE))
    await loop.sock_sendall(theirs, data)


def foreign() -> float:
    return float(metrics.DECODERS_ENDED.labels("foreign")._value.get())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(answer(77, b"evil"), id="unknown kind"),
        pytest.param(answer(DECODED, PIXELS[:-1]), id="too few pixels"),
        pytest.param(answer(DECODED, PIXELS, format_at=99), id="unknown format"),
        pytest.param(answer(DECODED, PIXELS, width=0), id="no width"),
        pytest.param(answer(DECODED, PIXELS, height=0), id="no height"),
        pytest.param(answer(REFUSED, b"unauthorized\0let me in\0"), id="refusal of another kind"),
        pytest.param(answer(REFUSED, bytes(LONGEST_TEXT_BYTES + 1)), id="refusal too long"),
        pytest.param(answer(LARGER, bytes(7)), id="share of seven bytes"),
        pytest.param(answer(LARGER, (OPEN.max_decoded_bytes + 1).to_bytes(8, "little")), id="share over the limit"),
        pytest.param(answer(REFUSED, b"image-empty\0Empty.\0") + b"more", id="bytes behind the answer"),
        pytest.param(ANSWER.pack(DECODED, 0, 40, 30, 0xFFFFFFFF), id="four gigabytes announced"),
    ],
)
async def test_a_process_that_answers_nonsense_is_killed_and_never_used_again(
    start_decoders: StartDecoders, data: bytes
) -> None:
    decoders = await start_decoders()
    await decoders.decode(PICTURE)
    before = foreign()
    with taken_over(decoders) as (worker, theirs):
        answering = asyncio.create_task(answer_one(theirs, data))
        with pytest.raises(DecoderCrashedError):
            await decoders.decode(PICTURE)
        await answering
        assert decoders.quick.idle == 0
        assert foreign() == before + 1
        await until(lambda: not worker.is_running())
    assert (await decoders.decode(PICTURE)).width == 40


async def test_a_process_that_sends_something_between_two_pictures_is_killed(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    await decoders.decode(PICTURE)
    with taken_over(decoders) as (worker, theirs):
        theirs.sendall(answer(REFUSED, b"image-empty\0Empty.\0"))
        assert (await decoders.decode(PICTURE)).width == 40
        await until(lambda: not worker.is_running())


async def test_a_process_that_refuses_a_picture_is_used_again(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    await decoders.decode(PICTURE)
    (process,) = decoders.quick._idle
    with pytest.raises(ImageEmptyError):
        await decoders.decode(b"")
    assert decoders.quick._idle == [process]
