"""One loaded version of a model: its signatures and how to run them."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.tensorflow_serving_pb2 import ConfigProto, MetaGraphDef, RunOptions
from serving.standin.engine.fair_semaphore import FairSemaphore
from serving.standin.engine.tensorflow_c import Library, Session
from serving.standin.errors import Code, StatusError
from serving.standin.tensors.dtypes import Tensor
from serving.standin.tensors.signatures import (
    Signature,
    check_shape,
    may_abort,
    read_signature_def_map,
    read_signatures,
)

DEFAULT_SIGNATURE = "serving_default"


def run_options(timeout_ms: int) -> bytes:
    """A serialized RunOptions. 0 and below mean no limit."""
    return RunOptions(timeout_in_ms=max(0, timeout_ms)).SerializeToString()


@dataclass(frozen=True)
class Caller:
    """Who waits for the outputs of a run."""

    waits: Callable[[], bool] = lambda: True
    """Whether it still does. Asked from any thread."""
    timeout_ms: int | None = None
    """For the run of the session: 0 means no limit; None the limit of the runtime."""

    def check(self) -> None:
        """Raises StatusError: CANCELLED: the caller does not wait any more, so the work is not begun."""
        if not self.waits():
            raise StatusError(Code.CANCELLED, "The caller has gone")


PATIENT = Caller()


class Runtime:
    """TensorFlow with the settings that all models share."""

    def __init__(
        self, library: Library, *, intra_op_threads: int, inter_op_threads: int, timeout_ms: int, max_runs: int
    ) -> None:
        """Runs beyond `max_runs` wait: more of them at once would make each one slower."""
        self._library = library
        self._config = ConfigProto(
            intra_op_parallelism_threads=intra_op_threads, inter_op_parallelism_threads=inter_op_threads
        ).SerializeToString()
        self._run_options = run_options(timeout_ms)
        self._semaphore = FairSemaphore(max_runs)

    def load(self, export: Path, tags: Sequence[str]) -> "Servable":
        """Raises StatusError: TensorFlow cannot load the version."""
        return Servable(Session(self._library, export, tags, self._config), self._run_options, self._semaphore)


class Servable:
    """Thread-safe. `close` waits until no request uses the version."""

    def __init__(self, session: Session, run_options: bytes, semaphore: FairSemaphore) -> None:
        self._session = session
        self._run_options = run_options
        self._semaphore = semaphore
        self._users = 0
        self._unused = threading.Condition()
        graph = MetaGraphDef.FromString(session.meta_graph)
        self.signatures: Mapping[str, Signature] = read_signatures(graph, held=may_abort(session.meta_graph))
        self.signature_def_map = read_signature_def_map(graph)
        """The same as the message that GetModelMetadata answers with."""

    def signature(self, name: str) -> Signature:
        """Raises StatusError: INVALID_ARGUMENT with the text of the REST API."""
        found = self.signatures.get(name or DEFAULT_SIGNATURE)
        if found is None:
            raise StatusError.invalid(
                f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
            )
        return found

    def run(
        self,
        signature: Signature,
        feeds: Mapping[str, Tensor],
        fetch: Sequence[str] | None = None,
        *,
        caller: Caller = PATIENT,
    ) -> dict[str, Tensor]:
        """Outputs by alias: those in `fetch`, or all where it is None.

        Raises:
            StatusError: the signature or the graph rejects the input, DEADLINE_EXCEEDED, or CANCELLED where the caller
                has gone while the run waited for its turn. A run that has begun goes on to its end.
        """
        for alias, tensor in feeds.items():
            check_shape(alias, signature.inputs[alias], tensor.shape)
        aliases = list(signature.outputs) if fetch is None else fetch
        by_tensor = {signature.inputs[alias].name: tensor for alias, tensor in feeds.items()}
        names = [signature.outputs[alias].name for alias in aliases]
        options = self._run_options if caller.timeout_ms is None else run_options(caller.timeout_ms)
        with self._semaphore:
            caller.check()
            results = self._session.run(by_tensor, names, options)
        return dict(zip(aliases, results, strict=True))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with self._unused:
            self._users += 1
        try:
            yield
        finally:
            with self._unused:
                self._users -= 1
                self._unused.notify_all()

    def close(self) -> None:
        """Wait for the requests that use the version, then free it. New requests must not find it any more."""
        with self._unused:
            self._unused.wait_for(lambda: not self._users)
        self._session.close()
