"""An untrained version that keeps the model contract, made in seconds, for benchmarks and tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gateway.labels import Description, Preprocessing
from training.learn import model as network
from training.release.graph import Pictures, write_version


def build(classes: int, *, alpha: float = 0.35, seed: int = 0) -> Any:
    """Random weights with activations in range, so that different pictures get different answers."""
    model = network.build(classes, alpha=alpha, seed=seed)
    network.reestimate_norms(model, [network.unit(noise(8, seed))])
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel * 2, bias])
    return model


def description(labels: Sequence[str], **more: Any) -> Description:
    """The description of an untrained version, with the fingerprint of the current preprocessing."""
    from gateway.imaging import fingerprint  # spares callers with their own description the decoders

    preprocessing = Preprocessing(fingerprint=fingerprint())
    facts = {
        "title": "Untrained",
        "summary": "Random weights: for tests and benchmarks.",
        "demo": True,
        **more,
    }
    return Description(labels=tuple(labels), preprocessing=preprocessing, **facts)


def export_untrained(base: Path, labels: Sequence[str], *, alpha: float = 0.35, seed: int = 0) -> Path:
    """Write a version with one output a label under `base` (`models/NAME`)."""
    return write_version(build(len(labels), alpha=alpha, seed=seed), description(labels), base)


def noise(count: int, seed: int) -> Pictures:
    """Blotches of colour: uint8 [count,224,224,3]. Unlike white noise, they differ after pooling."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 7, 7, 3), np.uint8)
    return coarse.repeat(network.SIDE_PX // 7, axis=1).repeat(network.SIDE_PX // 7, axis=2)
