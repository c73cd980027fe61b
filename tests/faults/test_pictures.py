"""Hostile, damaged and odd pictures, sent to a gateway that serves others meanwhile."""

import asyncio
import contextlib
import functools
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests import pictures
from tests.bombs import BOMBS, ROWS, mutants
from tests.faults.attackers import Told, attacked, send
from tests.faults.gateway import PICTURE, Gateway, running_gateway
from tests.faults.load import MARGIN_MS, steady
from tests.faults.record import record
from tests.faults.replica import MODEL_S, Replica, wait_for, working_for
from tests.goldens.draw import unmarked
from tests.pictures import encoded, raw_png, scene

pytestmark = pytest.mark.faults

TINY = (40, 30)
MUTANTS = 10_000
REFUSED = {413, 415, 422, 503}
OTHERS_A_SECOND = 25


def sent(gateway: Gateway, files: Sequence[bytes], *, at_once: int = 1) -> list[Told]:
    """An answer for each file, so many of them on their way at once."""

    async def run() -> list[Told]:
        turns = asyncio.Semaphore(at_once)

        async def one(data: bytes) -> Told:
            async with turns:
                return await send(gateway.port, data)

        return list(await asyncio.gather(*map(one, files)))

    return asyncio.run(run())


def decoders(gateway: Gateway) -> list[psutil.Process]:
    """Its decode processes, the fork server left out."""
    return gateway.line.decoders()[1:]


def test_ten_thousand_mutants_are_pictures_or_refusals(gateway: Gateway) -> None:
    sent(gateway, list(mutants(2, 500)), at_once=8)
    memory = gateway.rss_mib()
    told = sent(gateway, list(mutants(1, MUTANTS)), at_once=8)
    statuses = Counter(one.status for one in told)
    assert set(statuses) <= {200, 413, 415, 422}
    grown = gateway.grown_mib(memory, below=50)
    slowest = max(one.seconds for one in told)
    assert grown < 50
    assert slowest < 3
    crashes = gateway.metric('gateway_decoders_ended_total{reason="crashed"}')
    ends = f"RSS {grown:+.0f} MiB, slowest {slowest:.2f} s, {crashes:.0f} crashes"
    record("85", f"{MUTANTS:,}: {statuses[200]:,} served, no 5xx, {ends}")


def test_bombs_alone_are_refused_or_served_in_time(gateway: Gateway) -> None:
    gateway.classify()
    memory = gateway.rss_mib()
    told: dict[str, Told] = {}
    for name, make in BOMBS.items():
        (told[name],) = sent(gateway, [make()])
        assert told[name].status == 200 or told[name].status in REFUSED, name
        assert told[name].seconds < 2.5, name
    assert len(told) >= 40
    grown = gateway.grown_mib(memory, below=20)
    assert grown < 20
    for row, names in ROWS.items():
        statuses = Counter(told[name].status for name in names)
        seen = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
        record(
            row,
            f"{seen}; {max(told[name].seconds for name in names) * 1000:.0f} ms at most; RSS of all {grown:+.0f} MiB",
        )


def test_twenty_bombs_at_once_do_not_disturb_other_clients(replica: Replica, gateway: Gateway, tmp_path: Path) -> None:
    files = {name: tmp_path / str(number) for number, name in enumerate(BOMBS)}
    for name, file in files.items():
        file.write_bytes(BOMBS[name]())
    sent(gateway, [PICTURE] * 400 + [pictures.phone_jpeg_12mp()] * 100, at_once=20)  # normal load, without bombs
    with working_for(replica, MODEL_S):
        with steady(lambda: gateway.port, per_second=OTHERS_A_SECOND) as before:
            time.sleep(10)
        memory, lags = gateway.rss_mib(), gateway.loop_lags()
        with steady(lambda: gateway.port, per_second=OTHERS_A_SECOND) as during:
            told = attacked(gateway.port, files, at_once=20)
    grown = gateway.grown_mib(memory, below=20)
    lag_ms = 1000 * (gateway.loop_lags() - lags).percentile(0.99)
    statuses = Counter(one.status for answers in told.values() for one in answers)
    slowest = max(one.seconds for answers in told.values() for one in answers)
    assert set(statuses) <= REFUSED | {200}
    assert slowest < 5
    assert (before.failures, during.failures) == (0, 0)
    assert during.percentile(0.99) < 2 * before.percentile(0.99) + during.lateness(0.99) + MARGIN_MS
    assert lag_ms < 20 + MARGIN_MS
    assert grown < 20
    others = f"other clients, a model of 25 ms: {during.told(before)}"
    ends = f"{statuses[503]} shed, slowest {slowest:.1f} s, RSS {grown:+.0f} MiB"
    lag = f"the event loop's lag p99 {lag_ms:.0f} ms"
    record("69", f"{20 * len(files)} decompression bombs, 20 at once: {ends}; {others}; {lag}")


FORMATS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: pictures.jpeg((200, 150)),
    "progressive JPEG": lambda: pictures.jpeg((200, 150), progressive=True),
    "PNG": lambda: pictures.png((200, 150)),
    "WebP": lambda: pictures.webp((200, 150)),
    "GIF": lambda: pictures.gif((200, 150)),
    "AVIF": lambda: pictures.avif((200, 150)),
    "TIFF": lambda: pictures.tiff((200, 150)),
    "BMP": lambda: pictures.bmp((200, 150)),
}


def test_no_picture_cut_short_is_ever_predicted(replica: Replica, tmp_path: Path) -> None:
    cuts = [step / 20 for step in range(1, 20)] + [0.97]  # a PNG whose last 20 bytes are missing has all its pixels
    files = [pictures.cut(make(), share) for make in FORMATS.values() for share in cuts]
    with running_gateway(replica.address, tmp_path / "log", image_formats="JPEG,PNG,WEBP,GIF,AVIF,TIFF,BMP") as gateway:
        asked = replica.predictions
        told = sent(gateway, files, at_once=4)
        assert {one.status for one in told} <= {415, 422}
        assert replica.predictions == asked
    record("72", f"{len(FORMATS)} formats x {len(cuts)} cuts: {len(told)} refused, 0 predictions")


def test_files_of_two_kinds_are_the_picture_that_they_begin_as(gateway: Gateway) -> None:
    tails = (b"PK\3\4" + bytes(100), b"%PDF-1.7\n", b"<script>alert(1)</script>", b"\xca\xfe\xba\xbe")
    files = [make() + tail for make in (pictures.jpeg, pictures.png, pictures.gif, pictures.webp) for tail in tails]
    assert {one.status for one in sent(gateway, files)} == {200}
    hidden = [b"%PDF-1.7\n" + pictures.jpeg(), b"GIF8;" + pictures.gif(), b"PK\3\4" + pictures.png()]
    assert {one.problem for one in sent(gateway, hidden)} == {"unsupported-image-type"}
    record("73", f"{len(files)} with trailing data: served; {len(hidden)} that begin as another format: 415")


def test_the_bytes_decide_and_not_the_content_type(gateway: Gateway) -> None:
    with gateway.client() as client:
        for kind in ("image/png", "image/jpeg", "image/x-nonsense"):
            answered = client.post("/v1/classify", content=pictures.gif(), headers={"Content-Type": kind})
            assert (answered.status_code, answered.json()["image"]["format"]) == (200, "GIF")
        form = {"image": ("photo.exe", pictures.png(), "application/x-msdownload")}
        assert client.post("/v1/classify", files=form).json()["image"]["format"] == "PNG"
    record("74", "a GIF with three types, a PNG named .exe: served by their bytes")


def test_what_is_no_web_picture_reaches_no_parser(gateway: Gateway) -> None:
    files = [
        *(b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + bytes(30), b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        *(b"8BPS\0\1", b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", b"\0\0\1\0", pictures.tiff(TINY), b"%PDF-1.7"),
        *(b"<!DOCTYPE html><html>", b"PK\3\4", b"\x1a\x45\xdf\xa3", pictures.bmp(TINY), pictures.avif(TINY)),
    ]
    told = sent(gateway, files)
    assert {(one.status, one.problem) for one in told} == {(415, "unsupported-image-type")}
    record("75", f"{len(files)} kinds: 415")


def test_nearly_empty_files_are_refused(gateway: Gateway) -> None:
    files = [b"\0", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\4\0\0\0WEBP", b"\xff"]
    assert {one.status for one in sent(gateway, files)} <= {415, 422}
    with gateway.client() as client:
        empty = client.post("/v1/classify", files={"image": ("a", b"")})
    assert empty.json()["type"] == "/problems/image-empty"
    record("83", f"{len(files) + 1} files: 422 or 415")


def test_pictures_of_extreme_shape_are_served_or_refused(gateway: Gateway) -> None:
    files = [encoded(Image.new("L", size), "PNG") for size in ((1, 1), (1, 65_000), (65_500, 1), (2, 60_000))]
    files += [encoded(Image.new("RGB", size), "JPEG") for size in ((1, 1), (1, 65_000), (65_500, 1), (2, 60_000))]
    statuses = Counter(one.status for one in sent(gateway, files))
    assert set(statuses) <= {200, 422}
    record("84", f"{statuses[200]} served, {statuses[422]} refused")


# --- Odd ones, beside their plain twins --------------------------------------------------------------------------

PLAIN = scene((256, 192))
GREY = PLAIN.convert("L")


def png(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "PNG", **options)


def with_alpha() -> Image.Image:
    image = PLAIN.convert("RGBA")
    image.putalpha(255)
    return image


def hidden_colours() -> bytes:
    """Half of it transparent, with red beneath; the twin has white there."""
    image = PLAIN.convert("RGBA")
    image.paste((255, 0, 0, 0), (0, 0, 128, 192))
    return png(image)


def white_half() -> bytes:
    image = PLAIN.copy()
    image.paste("white", (0, 0, 128, 192))
    return png(image)


def inverted_cmyk() -> bytes:
    return encoded(PLAIN.convert("CMYK"), "JPEG", quality=100, subsampling=0)


def turned(orientation: int) -> bytes:
    """Stored so that it shows as PLAIN once the orientation is obeyed."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = PLAIN.transpose(Image.Transpose(back[orientation])) if orientation in back else PLAIN
    return png(stored, exif=pictures.exif(orientation))


TWINS: dict[str, dict[str, tuple[Callable[[], bytes], Callable[[], bytes]]]] = {
    "76": {
        "MPO": (
            lambda: encoded(PLAIN, "MPO", quality=95, save_all=True, append_images=[PLAIN]),
            lambda: encoded(PLAIN, "JPEG", quality=95),
        )
    },
    "77": {
        "CMYK": (lambda: encoded(PLAIN.convert("CMYK"), "TIFF"), lambda: png(PLAIN)),
        "inverted CMYK": (inverted_cmyk, lambda: png(PLAIN)),
        "inverted CMYK without Adobe's mark": (lambda: unmarked(inverted_cmyk()), lambda: png(PLAIN)),
        "grey JPEG": (lambda: encoded(GREY, "JPEG", quality=100), lambda: png(GREY)),
    },
    "78": {"16-bit grey": (lambda: raw_png(np.asarray(GREY).astype(np.uint16) * 257), lambda: png(GREY))},
    "79": {
        "palette": (lambda: png(PLAIN.quantize(64)), lambda: png(PLAIN.quantize(64).convert("RGB"))),
        "RGBA": (lambda: png(with_alpha()), lambda: png(PLAIN)),
        "hidden colours": (hidden_colours, white_half),
    },
    "80": {
        "1 bit": (lambda: png(GREY.convert("1")), lambda: png(GREY.convert("1").convert("L"))),
        "LA": (lambda: png(with_alpha().convert("LA")), lambda: png(GREY)),
        "PA": (lambda: encoded(PLAIN.quantize(64), "PNG", transparency=b"\xff" * 64), lambda: png(PLAIN.quantize(64))),
        "LAB": (
            lambda: encoded(PLAIN.convert("RGBA").convert("LAB"), "TIFF"),
            lambda: png(PLAIN.convert("RGBA").convert("LAB").convert("RGB")),
        ),
        "16-bit RGB": (lambda: raw_png(np.asarray(PLAIN).astype(np.uint16) * 257), lambda: png(PLAIN)),
    },
    "81": {f"EXIF {value}": (functools.partial(turned, value), lambda: png(PLAIN)) for value in range(10)},
}


@pytest.fixture(scope="module")
def open_gateway(replica: Replica, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One that takes TIFF as well, the only format with some of the modes."""
    log = tmp_path_factory.mktemp("open") / "log"
    with running_gateway(replica.address, log, image_formats="JPEG,PNG,WEBP,GIF,TIFF") as gateway:
        yield gateway


@pytest.mark.parametrize("row", TWINS)
def test_a_replica_is_asked_of_an_odd_picture_what_it_is_asked_of_the_plain_twin(
    open_gateway: Gateway, replica: Replica, row: str
) -> None:
    def asked(data: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
        (told,) = sent(open_gateway, [data])
        assert told.status == 200, told
        return replica.pixels().astype(int)

    differences = {name: np.abs(asked(odd()) - asked(plain())).mean() for name, (odd, plain) in TWINS[row].items()}
    assert {name: difference for name, difference in differences.items() if difference > 1} == {}
    record(row, f"{', '.join(TWINS[row])}: mean difference {max(differences.values()):.2f} of 255 at most")


def test_broken_metadata_is_ignored(gateway: Gateway) -> None:
    files = [
        *(png(PLAIN, exif=b"Exif\0\0" + body) for body in (b"", b"MM", b"II*\0" + bytes(4), b"MM\0*" + b"\xff" * 40)),
        pictures.jpeg(exif=pictures.exif(b"abcd")),
    ]
    assert {one.status for one in sent(gateway, files)} == {200}
    record("81", f"{len(files)} with broken EXIF: served")
    profiles = [b"", b"nonsense", pictures.rgb_profile()[:200], pictures.rgb_profile() + bytes(3 * 2**20), bytes(600)]
    assert {one.status for one in sent(gateway, [pictures.jpeg(icc_profile=profile) for profile in profiles])} == {200}
    record("82", f"{len(profiles)} broken or very large profiles: served")


# --- The processes that decode ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sig", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_decode_process_that_dies_fails_its_own_picture_alone(
    replica: Replica, tmp_path: Path, sig: signal.Signals
) -> None:
    kills = 20
    with running_gateway(replica.address, tmp_path / "log") as gateway:
        with steady(lambda: gateway.port, per_second=40) as seen:
            for _ in range(kills):
                wait_for(lambda: bool(decoders(gateway)))
                with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                    decoders(gateway)[-1].send_signal(sig)
                time.sleep(0.1)
        assert seen.failures <= kills
        assert set(seen.statuses) <= {200, 422, 503}
        assert gateway.classify() == 200
        problems = {line["problem"] for line in gateway.lines() if line.get("problem", "").startswith("decoder")}
        assert problems <= ({"decoder-lost"} if sig == signal.SIGKILL else {"decoder-crashed"})
    record("86", f"{kills} x {sig.name} at 40 requests a second: {seen.failures} of {seen.count} failed")


def test_a_stopped_decode_process_is_killed_and_the_next_picture_decoded(replica: Replica, tmp_path: Path) -> None:
    with running_gateway(replica.address, tmp_path / "log", decode_timeout_s="1", decode_processes="1") as gateway:
        (worker,) = decoders(gateway)
        worker.suspend()
        assert gateway.classify() == 503
        started = time.perf_counter()
        assert gateway.classify() == 200
        took = time.perf_counter() - started
        assert worker not in decoders(gateway)
    assert took < 5
    record("86", f"a process that hangs is killed; the next picture took {took * 1000:.0f} ms")


def test_fifty_of_the_worst_pictures_at_once_fit_into_512_mb(gateway: Gateway) -> None:
    """Each needs 262 MB by itself."""
    peak = 0.0

    async def watch(running: "list[asyncio.Task[Told]]") -> None:
        nonlocal peak
        while not all(one.done() for one in running):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                peak = max(peak, gateway.line.whole_memory_mib())
            await asyncio.sleep(0.01)

    async def run() -> list[Told]:
        told = [asyncio.create_task(send(gateway.port, pictures.webp_bomb(4000))) for _ in range(50)]
        await watch(told)
        return await asyncio.gather(*told)

    statuses = Counter(one.status for one in asyncio.run(run()))
    assert set(statuses) <= {200, 503}
    assert statuses[200] > 0
    assert peak < 512
    record("95", f"{statuses[200]} served, {statuses[503]} shed with 503, peak of all processes {peak:.0f} MiB")
