"""The real server's metrics in Prometheus' text format (docs/tensorflow-serving.md, "Monitoring").

Label values come from closed sets, so the number of series is bounded.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from serving.standin.errors import Code, StatusError

_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"
_RUN_LATENCY = ":tensorflow:serving:runtime_latency"
_BUCKETS = [10 * 1.8**exponent for exponent in range(33)]
"""Upper bounds in microseconds."""

Labels = tuple[tuple[str, str], ...]


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[next((at for at, bound in enumerate(_BUCKETS) if value <= bound), len(_BUCKETS))] += 1
        self._sum += value

    def lines(self, name: str, labels: Labels) -> Iterator[str]:
        total = 0
        for bound, count in zip([*map("{:.6g}".format, _BUCKETS), "+Inf"], self._counts, strict=True):
            total += count
            yield f"{name}_bucket{_braces((*labels, ('le', bound)))} {total}"
        yield f"{name}_sum{_braces(labels)} {self._sum:.6g}"
        yield f"{name}_count{_braces(labels)} {total}"


class Metrics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[Labels, int]] = defaultdict(lambda: defaultdict(int))
        self._histograms: dict[str, dict[Labels, _Histogram]] = defaultdict(lambda: defaultdict(_Histogram))

    def count(self, name: str, **labels: str) -> None:
        with self._lock:
            self._counters[name][tuple(labels.items())] += 1

    @contextmanager
    def timed(self, name: str, **labels: str) -> Iterator[None]:
        """Observe the duration of the block in microseconds, unless it raises."""
        start = time.perf_counter()
        yield
        microseconds = (time.perf_counter() - start) * 1e6
        with self._lock:
            self._histograms[name][tuple(labels.items())].observe(microseconds)

    @contextmanager
    def request(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Count the block as one request, and time it unless it raises.

        api: empty for status and metadata. entrypoint: REST or GRPC.
        """
        code = Code.UNKNOWN
        try:
            with self.timed(_LATENCY, model_name=model, API=api, entrypoint=entrypoint):
                yield
            code = Code.OK
        except StatusError as error:
            code = error.code
            raise
        finally:
            self.count(_COUNT, model_name=model, status=code.name)

    def runtime(self, model: str, api: str) -> AbstractContextManager[None]:
        """Time the block as one run of a graph."""
        return self.timed(_RUN_LATENCY, model_name=model, API=api, runtime="TF1")

    def render(self) -> bytes:
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        for name, series in sorted(self._counters.items()):
            yield f"# TYPE {name} counter"
            yield from (f"{name}{_braces(labels)} {value}" for labels, value in series.items())
        for name, histograms in sorted(self._histograms.items()):
            yield f"# TYPE {name} histogram"
            for labels, histogram in histograms.items():
                yield from histogram.lines(name, labels)


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
