"""Whether the gateway is running, draining or past its grace period. Set by the signal handler, read elsewhere."""

from dataclasses import dataclass


@dataclass
class Lifecycle:
    """Each flag is set once and never cleared."""

    draining: bool = False
    """A signal has come: /readyz answers 503, but requests are still accepted."""
    grace_over: bool = False
    """Requests that are still in flight are cancelled and answered with 503."""
