"""Log lines go to standard error, or are dropped where writing would block. A request never waits for the log.

A full pipe, a stopped terminal or a full disk would otherwise stop the event loop, or fail the request that the line
is about. Dropped lines are counted, and a later line tells how many they were.
"""

import contextlib
import json
import os
import select
import threading
from typing import TextIO

from gateway.observe import metrics

AT_ONCE_BYTES = select.PIPE_BUF
"""A writable pipe takes this much without blocking (POSIX, PIPE_BUF)."""


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
        """The last line was written in part."""
        self.dropped = 0
        """Dropped lines that no line has reported yet."""

    def write(self, text: str) -> int:
        """Write one line, or drop it."""
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
        """Nothing is buffered."""
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
        except OSError:  # the reader has gone, or the disk is full
            return False
        self._torn = False
        return True

    def _writable(self) -> bool:
        ready = self._poll.poll(0)
        return bool(ready and ready[0][1] & select.POLLOUT)
