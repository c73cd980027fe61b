"""Where log lines go: standard error, unless nobody reads it. A request never waits for a log.

A pipe that is full, a terminal that was stopped or a disk without room would otherwise stop the event loop, or
fail the request whose line it was. Lines that cannot be written at once are dropped, counted, and told of later.
"""

import contextlib
import json
import os
import select
import threading
from typing import TextIO

from gateway.observe import metrics

AT_ONCE_BYTES = select.PIPE_BUF
"""A pipe that is writable takes so much without blocking (POSIX)."""


class Sink:
    """What a logger needs of a text stream, over a file descriptor; a line that would block is dropped.

    It owns neither the stream nor the descriptor, so it is no `io` class: those close themselves when they are
    collected, and flush a stream that may be closed by then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, ValueError):  # a stream in memory has none
            self._descriptor = stream.fileno()
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)
        self._lock = threading.Lock()
        self._torn = False
        """The last line is there in part."""
        self.dropped = 0
        """Lines that are still to be told of."""

    def write(self, text: str) -> int:
        """One line, or none of it where nothing can be written."""
        if self._descriptor is None:
            return self._stream.write(text)
        with self._lock:
            if self.dropped and self._put(f"{json.dumps({'event': 'log lines dropped', 'count': self.dropped})}\n"):
                self.dropped = 0
            if not self._put(text):
                self.dropped += 1
                metrics.LOG_LINES_DROPPED.inc()
        return len(text)

    def flush(self) -> None:
        """Nothing is kept."""
        if self._descriptor is None:
            self._stream.flush()

    def _put(self, text: str) -> bool:
        assert self._descriptor is not None
        data = b"\n" * self._torn + text.encode(errors="replace")
        try:
            for start in range(0, len(data), AT_ONCE_BYTES):
                if not self._writable():
                    return False
                os.write(self._descriptor, data[start : start + AT_ONCE_BYTES])
                self._torn = True
        except OSError:  # no reader any more, or no room on the disk
            return False
        self._torn = False
        return True

    def _writable(self) -> bool:
        told = self._poll.poll(0)
        return bool(told and told[0][1] & select.POLLOUT)
