import numpy as np

from training.learn.augmentation import draw


def chance() -> np.random.Generator:
    return np.random.default_rng(0)


def test_none_changes_nothing() -> None:
    changes = draw(3, 56, "none", chance())
    assert np.allclose(changes.transforms, [1, 0, 0, 0, 1, 0, 0, 0])
    assert np.array_equal(changes.light, [[1, 0]] * 3)


def test_mirror_only_mirrors_about_half_of_the_pictures() -> None:
    transforms = draw(1000, 56, "mirror", chance()).transforms
    mirrored = transforms[:, 0] == -1
    assert 400 < mirrored.sum() < 600
    assert np.allclose(transforms[mirrored], [-1, 0, 55, 0, 1, 0, 0, 0])
    assert np.allclose(transforms[~mirrored], [1, 0, 0, 0, 1, 0, 0, 0])


def test_standard_keeps_the_middle_within_a_tenth_of_the_side() -> None:
    a, b, x, c, d, y, *_ = draw(1000, 56, "standard", chance()).transforms.T
    middle = 27.5
    assert np.abs(a * middle + b * middle + x - middle).max() <= 5.6 + 1e-3
    assert np.abs(c * middle + d * middle + y - middle).max() <= 5.6 + 1e-3
    scale = np.sqrt(np.abs(a * d - b * c))
    assert scale.min() >= 0.85 - 1e-6
    assert scale.max() <= 1.15 + 1e-6
