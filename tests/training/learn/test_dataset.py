"""What reaches the network while it learns."""

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.app import create_app
from gateway.settings import Settings
from tests import pictures
from tests.fakes import FakeReplica, network, pixels_sent
from tests.rounds import look
from tests.training import data_sets
from training.console import no_bar
from training.data.pictures import digest_of_bytes
from training.data.prepare import Prepared, prepare
from training.learn.options import Augment

pytestmark = pytest.mark.slow  # TensorFlow takes four seconds to import

GOLDENS = Path(__file__).parents[2] / "goldens"


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Two classes of pictures of every kind that the gateway takes: turned, CMYK, transparent, progressive, huge."""
    root = tmp_path_factory.mktemp("awkward")
    files = {path.name: path.read_bytes() for path in GOLDENS.glob("*") if path.suffix in (".jpg", ".webp")}
    files |= {"phone.jpg": pictures.phone_jpeg_12mp(), "still.gif": pictures.gif(), "small.png": pictures.png((90, 60))}
    for at, (name, data) in enumerate(sorted(files.items())):
        data_sets.put(root, f"{'one' if at % 2 else 'other'}/{name}", data)
    return prepare(
        root,
        labels=None,
        groups=None,
        val_share=0.4,
        test_share=0.0,
        seed=0,
        cache=root.parent / "cache",
        workers=None,
        bar=no_bar,
    )


async def sent(folder: Path, prepared: Prepared) -> dict[str, Any]:
    """By digest of a file: the pixels that a gateway sends to its replica when the file is uploaded."""
    replica = FakeReplica("a:1")
    app = create_app(Settings(upstream="a:1"), network(replica))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        await look(app.state.services)
        wire = httpx.ASGITransport(app, raise_app_exceptions=False)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=wire, base_url="http://gateway"))
        found = {}
        for picture in prepared.pictures:
            data = (folder / picture.file).read_bytes()
            answer = await client.post("/v1/classify", content=data, headers={"Content-Type": "image/jpeg"})
            assert answer.status_code == 200, answer.text
            found[digest_of_bytes(data)] = pixels_sent(replica.seen[-1])
    return found


async def test_the_network_learns_from_the_very_pixels_that_a_replica_would_be_sent(awkward: Prepared) -> None:
    from training.learn import dataset

    served = await sent(awkward.manifest.root, awkward)
    training_set = dataset.part_of(awkward, "train")
    taught = [picture for picture in awkward.pictures if picture.split == "train"]
    assert len(taught) >= 10
    shown = np.concatenate([pixels for pixels, *_ in dataset.plain(training_set, 224, 4)])
    assert shown.dtype == np.uint8
    assert all(np.array_equal(pixels, served[p.sha256]) for pixels, p in zip(shown, taught, strict=True))
    for pixels, light, *_ in dataset.epoch(training_set, 224, 2, augment="none", chance=np.random.default_rng(0)):
        assert all(any(np.array_equal(picture, other) for other in served.values()) for picture in pixels)
        unit = dataset.network_input(pixels, light, augment="none")
        assert np.array_equal(unit, np.asarray(pixels, np.float32) / np.float32(255))


@pytest.mark.parametrize(("side_px", "block"), [(112, 2), (56, 4), (32, 7)])
def test_smaller_pictures_are_the_means_of_blocks_rounded(awkward: Prepared, side_px: int, block: int) -> None:
    from training.learn import dataset

    training_set = dataset.part_of(awkward, "val")
    whole, small = (np.concatenate([p for p, *_ in dataset.plain(training_set, side, 4)]) for side in (224, side_px))
    sums = whole.reshape(-1, side_px, block, side_px, block, 3).sum(axis=(2, 4), dtype=np.int64)
    assert np.array_equal(small, (sums + block * block // 2) // (block * block))


def epoch(prepared: Prepared, augment: Augment, *, seed: int = 0, skip: int = 0) -> list[Any]:
    from training.learn import dataset

    chance = np.random.default_rng(seed)
    batches = dataset.epoch(dataset.part_of(prepared, "train"), 56, 4, augment=augment, chance=chance, skip=skip)
    return [tuple(np.asarray(part) for part in batch) for batch in batches]


def same(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


def test_an_epoch_that_was_broken_off_goes_on_with_the_same_pictures(awkward: Prepared) -> None:
    assert same(epoch(awkward, "standard", skip=2), epoch(awkward, "standard")[2:])


def test_the_seed_decides_the_order_and_the_changes(awkward: Prepared) -> None:
    assert same(epoch(awkward, "standard", seed=1), epoch(awkward, "standard", seed=1))
    assert not same(epoch(awkward, "standard", seed=1), epoch(awkward, "standard", seed=2))


def test_no_picture_is_shown_twice_and_each_is_mirrored_exactly_or_not_at_all(awkward: Prepared) -> None:
    from training.learn import dataset

    ((plain, *_),) = dataset.plain(dataset.part_of(awkward, "train"), 56, 100)
    shown = [picture for pixels, *_ in epoch(awkward, "mirror") for picture in pixels]
    known = {picture.tobytes() for picture in np.asarray(plain)}
    assert Counter(map(either_way, shown)) <= Counter(map(either_way, np.asarray(plain)))
    assert 0 < sum(picture.tobytes() in known for picture in shown) < len(shown)


def either_way(picture: Any) -> bytes:
    """The same for a picture and its mirror image."""
    return bytes(min(picture.tobytes(), picture[:, ::-1].tobytes()))


def test_standard_changes_stay_close_to_the_picture(awkward: Prepared) -> None:
    """They move, but what is in the middle remains, so the picture is still recognizable."""
    for (before, *_), (after, light, *_) in zip(epoch(awkward, "none"), epoch(awkward, "standard"), strict=True):
        assert not np.array_equal(before, after)
        assert np.abs(before.mean(axis=(1, 2)) - after.mean(axis=(1, 2))).max() < 40
        assert np.abs(light - [1, 0]).max() <= 0.2


# --- Augmentation -----------------------------------------------------------------------------------------------


def chance() -> np.random.Generator:
    return np.random.default_rng(0)


def test_none_changes_nothing() -> None:
    from training.learn.dataset import draw_changes

    changes = draw_changes(3, 56, "none", chance())
    assert np.allclose(changes.transforms, [1, 0, 0, 0, 1, 0, 0, 0])
    assert np.array_equal(changes.light, [[1, 0]] * 3)


def test_mirror_only_mirrors_about_half_of_the_pictures() -> None:
    from training.learn.dataset import draw_changes

    transforms = draw_changes(1000, 56, "mirror", chance()).transforms
    mirrored = transforms[:, 0] == -1
    assert 400 < mirrored.sum() < 600
    assert np.allclose(transforms[mirrored], [-1, 0, 55, 0, 1, 0, 0, 0])
    assert np.allclose(transforms[~mirrored], [1, 0, 0, 0, 1, 0, 0, 0])


def test_standard_keeps_the_middle_within_a_tenth_of_the_side() -> None:
    from training.learn.dataset import draw_changes

    a, b, x, c, d, y, *_ = draw_changes(1000, 56, "standard", chance()).transforms.T
    middle = 27.5
    assert np.abs(a * middle + b * middle + x - middle).max() <= 5.6 + 1e-3
    assert np.abs(c * middle + d * middle + y - middle).max() <= 5.6 + 1e-3
    scale = np.sqrt(np.abs(a * d - b * c))
    assert scale.min() >= 0.85 - 1e-6
    assert scale.max() <= 1.15 + 1e-6
