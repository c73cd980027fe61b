"""A process without a free file descriptor."""

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

MOST = 1024


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Every descriptor of this process is taken while the block runs."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(MOST, before[1]), before[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        with suppress(OSError):
            while True:
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        yield
