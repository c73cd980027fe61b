"""File descriptors of this process and of the system."""

import errno

NONE_LEFT = (errno.EMFILE, errno.ENFILE)


def none_left(failure: BaseException | None) -> bool:
    """Whether the failure, or one that it comes from, is that no file descriptor is free."""
    while failure is not None:
        if isinstance(failure, OSError) and failure.errno in NONE_LEFT:
            return True
        failure = failure.__cause__
    return False
