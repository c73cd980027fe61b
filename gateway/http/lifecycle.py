"""Where a gateway is in its life: what the signal handler knows and everybody else asks."""

from dataclasses import dataclass


@dataclass
class Lifecycle:
    """Starts in service; never goes back."""

    draining: bool = False
    """Told to stop: not ready any more, but requests are still accepted."""
    grace_over: bool = False
    """What is still at work is cancelled, and answered with 503."""
