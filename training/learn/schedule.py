"""How fast to learn, and when to stop: pure rules, asked once a step or an epoch."""

import math

WARM_UP = 0.1
"""Share of the steps over which the rate rises."""
REST = 0.01
"""Of the highest rate, at the end."""


def rate_at(step: int, steps: int, highest: float) -> float:
    """The learning rate of a step, counted from 0: a straight rise, then half a cosine down."""
    warm = max(int(steps * WARM_UP), 1)
    if step < warm:
        return highest * (step + 1) / warm
    done = (step - warm) / max(steps - warm, 1)
    return highest * (REST + (1 - REST) * 0.5 * (1 + math.cos(math.pi * done)))


def out_of_patience(losses: list[float], patience: int) -> bool:
    """True: the last `patience` epochs were none better than the best before them."""
    best = losses.index(min(losses))
    return len(losses) - 1 - best >= patience
