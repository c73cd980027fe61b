"""Pictures in processes that may crash, hang and be killed."""

import asyncio
import gc
import random
import signal
import sys
from contextlib import suppress

import numpy as np
import psutil
import pytest

from gateway.decoding.pool import LARGE_NICE, QUICK_FILE_BYTES, QUICK_JPEG_BYTES, SLOW_NICE, SMALL_BYTES, Decoders
from gateway.errors import (
    PICTURE_ERRORS,
    DeadlineError,
    DecoderCrashedError,
    DecoderLostError,
    GatewayError,
    ImageDecodeError,
    ImageTooComplexError,
    ImageTooLargeError,
    ImageTruncatedError,
    OverloadedError,
    UnsupportedImageTypeError,
)
from gateway.fairness import CALLER
from gateway.imaging import preprocess
from tests import pictures
from tests.bombs import mutants
from tests.children import children
from tests.exhausted import no_descriptors
from tests.gateway.decoding.conftest import MIB, OPEN, StartDecoders, until

TINY = (40, 30)
LARGE = pictures.png((4000, 3000))
"""52 MB decoded, 0.1 s of CPU time."""
LARGEST = pictures.webp_bomb(4000)
"""262 MB decoded, 0.2 to 0.8 s."""
SLOW = pictures.png((1600, 1200))
"""8 MB decoded, 25 ms; the file is small."""


def workers() -> list[psutil.Process]:
    """The decode processes that run now: children of this process's children."""
    return [worker for forkserver in children() for worker in forkserver.children()]


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() for process in processes)


def nicer(by: int) -> int:
    """This process's nice value and `by`; 19 is the kernel's highest, and tests may themselves run under `nice`."""
    return min(psutil.Process().nice() + by, 19)


async def the_worker(decoders: Decoders) -> psutil.Process:
    """The process for quick pictures; decoding one has forked it."""
    await decoders.decode(pictures.png(TINY))
    (worker,) = workers()
    return worker


async def stopped_large(decoders: Decoders) -> tuple[psutil.Process, "asyncio.Task[object]"]:
    """The process of a large picture, stopped in the middle of it, and the job."""
    known = set(decoders._processes._alive)
    job = asyncio.create_task(decoders.decode(LARGEST))
    await until(lambda: bool(decoders._processes._alive.keys() - known), pause_s=0)
    (pid,) = decoders._processes._alive.keys() - known
    passing = psutil.Process(pid)
    passing.suspend()
    return passing, job


async def stopped_in_a_job(
    decoders: Decoders, data: bytes = pictures.png(TINY)
) -> tuple[psutil.Process, "asyncio.Task[object]"]:
    """The process for quick pictures, stopped in the middle of one, and the job."""
    worker = await the_worker(decoders)
    worker.suspend()
    job = asyncio.create_task(decoders.decode(data))
    await until(lambda: not decoders.quick.idle)
    await asyncio.sleep(0)
    return worker, job


@pytest.mark.parametrize("data", [pictures.jpeg(), pictures.gif(TINY), LARGE, pictures.phone_jpeg_12mp()])
async def test_the_pixels_are_those_of_preprocess(start_decoders: StartDecoders, data: bytes) -> None:
    decoders = await start_decoders()
    picture = (await decoders.decode(data)).picture()
    assert np.array_equal(picture.pixels, preprocess(data))
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize(
    ("data", "kind", "detail"),
    [
        (b"%PDF-1.7", UnsupportedImageTypeError, "This is a PDF document: send JPEG, PNG, WebP or GIF."),
        (pictures.webp_bomb(), ImageTooLargeError, "This WebP has 88.4 megapixels, and at most 16.4 of its kind"),
        (pictures.cut(pictures.png(TINY), 0.9), ImageTruncatedError, "This is only the beginning of a PNG"),
        (b"GIF89a" + bytes(7) + b"x;", ImageDecodeError, "This GIF is damaged"),
    ],
)
async def test_a_refusal_comes_as_the_error_that_it_is(
    start_decoders: StartDecoders, data: bytes, kind: type[GatewayError], detail: str
) -> None:
    decoders = await start_decoders()
    with pytest.raises(kind) as refused:
        await decoders.decode(data)
    assert refused.value.detail.startswith(detail)


async def test_the_cause_of_a_refusal_comes_along_for_the_log(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    with pytest.raises(ImageDecodeError) as refused:
        await decoders.decode(b"GIF89a" + bytes(7) + b"x;")
    assert str(refused.value.__cause__).startswith(("OSError", "EOFError", "SyntaxError"))


async def test_a_process_is_used_again(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    worker = await the_worker(decoders)
    for _ in range(5):
        await decoders.decode(pictures.png(TINY))
    assert workers() == [worker]


async def test_a_large_picture_gets_a_process_for_itself_that_then_ends(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    worker = await the_worker(decoders)
    passing, job = await stopped_large(decoders)
    assert passing != worker
    passing.resume()
    await job
    await until(lambda: workers() == [worker])


async def test_a_process_for_large_pictures_has_a_low_priority(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    process = await decoders._processes.fork(share_bytes=MIB, nice=LARGE_NICE)
    try:
        await until(lambda: psutil.Process(process.pid).nice() == nicer(LARGE_NICE))
    finally:
        process.close()


async def test_small_pictures_do_not_wait_for_large_ones(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    await the_worker(decoders)
    passing, job = await stopped_large(decoders)
    await decoders.decode(pictures.png(TINY))
    assert not job.done()
    passing.resume()
    await job


@pytest.mark.parametrize("data", [pictures.png(TINY), SLOW])
async def test_the_pictures_of_one_caller_do_not_wait_for_all_of_another(
    start_decoders: StartDecoders, data: bytes
) -> None:
    decoders = await start_decoders()
    order: list[str] = []

    async def decode(caller: str) -> None:
        CALLER.set(caller)
        await decoders.decode(data)
        order.append(caller)

    await decoders.decode(data)
    for worker in workers():
        worker.suspend()
    jobs = []
    for caller in "xxxxy":
        jobs.append(asyncio.create_task(decode(caller)))
        await asyncio.sleep(0)
    for worker in workers():
        worker.resume()
    await asyncio.gather(*jobs)
    assert "".join(order) == "xxyxx"


async def test_quick_pictures_do_not_wait_for_slow_ones(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    worker = await the_worker(decoders)
    await decoders.decode(SLOW)
    (slow,) = set(workers()) - {worker}
    slow.suspend()
    job = asyncio.create_task(decoders.decode(SLOW))
    await until(lambda: not decoders.slow.idle)
    await decoders.decode(pictures.png(TINY))
    assert not job.done()
    slow.resume()
    await job
    assert slow.nice() == nicer(SLOW_NICE)


@pytest.mark.parametrize(
    "data",
    [
        pictures.png((1600, 1200)),
        pictures.webp((1600, 1200)),
        pictures.jpeg((2400, 1600)),
        pictures.jpeg((1600, 1200), progressive=True),
        pictures.scan_bomb(54),
        pictures.jpeg(TINY) + bytes(QUICK_JPEG_BYTES),
        pictures.webp(TINY) + bytes(QUICK_FILE_BYTES),
    ],
)
async def test_a_picture_that_takes_long_goes_to_the_slow_pool(start_decoders: StartDecoders, data: bytes) -> None:
    decoders = await start_decoders()
    worker = await the_worker(decoders)
    worker.suspend()  # a picture that needs it for more than its header will not end
    job = asyncio.create_task(decoders.decode(data))
    worker.resume()
    await job
    assert decoders.slow.idle == 1


@pytest.mark.parametrize("data", [SLOW, LARGE, pictures.cut(SLOW, 0.5), pictures.jpeg_bomb(65_000, 65_000), b"none"])
async def test_no_picture_stays_in_memory_until_garbage_collection(start_decoders: StartDecoders, data: bytes) -> None:
    decoders = await start_decoders()
    with suppress(GatewayError):
        await decoders.decode(data)  # fills caches that are made once
    gc.collect()
    gc.freeze()  # objects that exist already need not be searched
    gc.disable()
    try:
        with suppress(GatewayError):
            await decoders.decode(data)
        assert gc.collect() == 0
    finally:
        gc.enable()
        gc.unfreeze()


async def test_large_pictures_wait_for_their_share_and_not_for_long(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders(budget_bytes=64 * MIB, wait_s=0.2)
    await the_worker(decoders)
    passing, first = await stopped_large(decoders)
    with pytest.raises(OverloadedError) as full:
        await decoders.decode(LARGE)
    assert full.value.retry_after_s == 1
    passing.resume()
    await first
    await decoders.decode(LARGE)


@pytest.mark.parametrize("sig", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
async def test_a_crash_fails_its_own_picture_alone(start_decoders: StartDecoders, sig: signal.Signals) -> None:
    decoders = await start_decoders()
    worker, job = await stopped_in_a_job(decoders)
    waiting = asyncio.create_task(decoders.decode(pictures.png(TINY)))
    worker.send_signal(sig)
    worker.resume()
    with pytest.raises(DecoderCrashedError):
        await job
    await waiting
    assert worker not in workers()


async def test_a_process_killed_from_outside_fails_its_own_picture_alone(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    worker, job = await stopped_in_a_job(decoders)
    waiting = asyncio.create_task(decoders.decode(pictures.png(TINY)))
    worker.kill()
    with pytest.raises(DecoderLostError) as lost:
        await job
    assert lost.value.retry_after_s == 1
    await waiting


async def test_a_process_that_dies_between_two_pictures_fails_none(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    for _ in range(10):
        worker = await the_worker(decoders)
        worker.kill()
        worker.wait(10)
        await decoders.decode(pictures.png(TINY))


async def test_a_picture_that_takes_too_much_cpu_time_is_too_complex(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders(OPEN._replace(cpu_s=0.02))
    with pytest.raises(ImageTooComplexError, match=r"more than 0.02 s of computing time"):
        await decoders.decode(LARGE)
    await until(lambda: len(workers()) == 1)


async def test_cpu_time_is_counted_for_each_picture_anew(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders(OPEN._replace(cpu_s=0.5))
    phone = pictures.phone_jpeg_12mp()
    await decoders.decode(phone)
    (worker,) = workers()
    while sum(worker.cpu_times()[:2]) < 0.7:
        await decoders.decode(phone)
    assert workers() == [worker]


async def test_a_process_that_makes_no_headway_is_killed(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders(timeout_s=0.3)
    worker, job = await stopped_in_a_job(decoders)
    with pytest.raises(DecoderLostError):
        await job
    await until(lambda: worker not in workers())


async def test_a_small_job_whose_caller_leaves_is_finished_in_its_place(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders(count=1)
    worker, job = await stopped_in_a_job(decoders)
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job
    following = asyncio.create_task(decoders.decode(pictures.png((51, 40))))
    worker.resume()
    assert (await following).width == 51
    assert workers() == [worker]


async def test_a_job_that_hangs_does_not_hang_for_ever_because_its_caller_left(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders(timeout_s=0.3)
    worker, job = await stopped_in_a_job(decoders)
    job.cancel()
    with suppress(asyncio.CancelledError):
        await job
    await until(lambda: worker not in workers())
    await decoders.decode(pictures.png(TINY))


async def test_a_picture_that_is_refused_after_its_caller_has_left_is_no_defect(start_decoders: StartDecoders) -> None:
    """Otherwise asyncio would log an exception that was never retrieved."""
    decoders = await start_decoders(count=1)
    worker, job = await stopped_in_a_job(decoders, pictures.cut(pictures.png((50, 40)), 0.5))
    job.cancel()
    await asyncio.wait([job])
    worker.resume()
    await until(lambda: decoders.quick.idle == 1)
    gc.collect()


async def test_callers_that_leave_at_any_moment_leave_nothing_behind(start_decoders: StartDecoders) -> None:
    """And no caller gets the picture of another: each has its own size."""
    decoders = await start_decoders(count=2, budget_bytes=128 * MIB)
    files = psutil.Process().num_fds()
    chance = random.Random(1)

    async def one(number: int) -> None:
        size = (50 + number, 40)
        decoded = await decoders.decode(LARGE if number % 50 == 0 else pictures.png(size))
        assert decoded.width == (4000 if number % 50 == 0 else size[0])

    jobs = [asyncio.create_task(one(number)) for number in range(200)]
    for _ in jobs:
        await asyncio.sleep(chance.choice((0, 0.0005, 0.002)))
        if chance.random() < 0.7:
            chance.choice(jobs).cancel()
    done = await asyncio.gather(*jobs, return_exceptions=True)
    assert {type(end) for end in done} <= {type(None), asyncio.CancelledError}
    assert decoders.free == (2, 2, 128 * MIB)
    await until(lambda: len(workers()) == decoders.quick.idle + decoders.slow.idle <= 4)
    assert psutil.Process().num_fds() <= files + 4  # a socket each


async def test_mutants_are_pictures_or_refusals_and_crash_nothing(start_decoders: StartDecoders) -> None:
    """Ten thousand of them go through a whole gateway in `make faults`."""
    decoders = await start_decoders()
    worker = await the_worker(decoders)
    for mutant in mutants(3, 400):
        with suppress(*PICTURE_ERRORS):
            await decoders.decode(mutant)
    assert workers() == [worker]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no ceiling on a process's memory")
async def test_a_decode_process_has_a_ceiling_of_memory(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    worker = await the_worker(decoders)
    _, ceiling = worker.rlimit(psutil.RLIMIT_AS)
    assert worker.memory_info().vms + SMALL_BYTES < ceiling < worker.memory_info().vms + SMALL_BYTES + 100 * MIB
    assert worker.rlimit(psutil.RLIMIT_CORE) == worker.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)


async def test_a_picture_that_is_not_decoded_by_the_deadline_is_given_up(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders(timeout_s=60)
    worker = await the_worker(decoders)
    worker.suspend()
    with pytest.raises(DeadlineError):
        await decoders.picture(pictures.png(TINY), deadline=asyncio.get_running_loop().time() + 0.05)
    worker.resume()
    await until(lambda: decoders.quick.idle == 1)


async def test_without_a_free_descriptor_a_picture_that_needs_a_new_process_is_refused(
    start_decoders: StartDecoders,
) -> None:
    decoders = await start_decoders()
    with no_descriptors():
        for picture in (pictures.png(TINY), SLOW, LARGE):
            with pytest.raises(OverloadedError, match="descriptor") as refused:
                await decoders.decode(picture)
            assert refused.value.retry_after_s == 1
    assert (await decoders.decode(pictures.png(TINY))).format == "PNG"
    assert (decoders.quick.free, decoders.slow.free) == (1, 1)


async def test_without_a_free_descriptor_a_fork_server_is_not_started_either(start_decoders: StartDecoders) -> None:
    decoders = await start_decoders()
    for forkserver in children():
        forkserver.kill()
    await until(lambda: not children())
    with no_descriptors(), pytest.raises(OverloadedError, match="descriptor"):
        await decoders.decode(pictures.png(TINY))
    assert (await decoders.decode(pictures.png(TINY))).format == "PNG"
