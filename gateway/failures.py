"""Every way in which one call to one replica can fail, and what follows from it: one class a kind.

`tfserving` looks up here what a status means, `replicas` what to do next; nothing else decides either. The attributes
of `ReplicaError` are the columns of the table. A version that fails its examination is no failure of the replica that
holds it: see `replicas.acceptance`.
"""

from typing import ClassVar

from gateway.errors import (
    RETRY_AFTER_S,
    DeadlineError,
    GatewayError,
    NoReplicaError,
    OverloadedError,
    PredictBodyError,
    UpstreamError,
)


class ReplicaError(Exception):
    """One call to one replica failed. The message is for the log and `/v1/models`; it may quote the replica."""

    http: ClassVar[tuple[int, ...]] = ()
    """HTTP statuses that mean it."""
    grpc: ClassVar[tuple[str, ...]] = ()
    """gRPC status codes that mean it, by name."""
    counts: ClassVar[bool] = True
    """Held against the replica: two of these in a row eject it."""
    timed_here: ClassVar[bool] = False
    """Measured by our own clock, so it does not count if the event loop itself was late."""
    ours: ClassVar[bool] = False
    """The gateway's own failure, from which nothing follows for the replica: a probe that ends so is forgotten."""
    gone: ClassVar[bool] = False
    """Nothing listens there: the addresses are looked up again."""
    rests: ClassVar[bool] = False
    """The replica is asked last for a while, and the retry waits for a moment."""
    refreshes: ClassVar[bool] = False
    """The replica is probed before the retry: its versions have changed."""
    elsewhere: ClassVar[bool] = True
    """Another replica may do better."""
    suspect: ClassVar[bool] = False
    """The request may have caused it: `replicas.quarantine` decides whether another replica may get it."""
    once_more: ClassVar[bool] = False
    """A request that has failed in such ways twice is not tried a third time."""
    survived: ClassVar[bool] = False
    """The replica has worked on the request and is still there: an answer, as far as suspicion goes."""
    same_again: ClassVar[bool] = False
    """Where no other replica is left, the same one is asked once more: our view of it was out of date."""
    free: ClassVar[bool] = False
    """The first retry is not charged to the retry budget."""
    answer: ClassVar[type[GatewayError]] = UpstreamError
    """What the client receives when no further attempt is made."""
    detail: ClassVar[str] = "no replica that was asked gave a usable answer"
    """The detail of that answer. It never contains what a replica sent."""

    @classmethod
    def outcome(cls) -> str:
        """The value of the metric label `outcome`."""
        return cls.__name__.removesuffix("Error")

    def as_answer(self) -> GatewayError:
        """The error for the client."""
        return self.answer(self.detail, retry_after_s=RETRY_AFTER_S if self.answer.status == 503 else None)


class ReplicaUnreachableError(ReplicaError):
    """No connection could be made; nothing was sent."""

    gone = True
    answer, detail = NoReplicaError, "no replica could be reached"


class NoDescriptorError(ReplicaError):
    """The gateway has no file descriptor free for a connection."""

    ours = True
    counts = False
    elsewhere = False
    answer, detail = OverloadedError, "the gateway has no file descriptor free"


class ConnectionLostError(ReplicaError):
    """The connection broke before the whole answer had arrived."""

    grpc: ClassVar[tuple[str, ...]] = ("CANCELLED",)  # by the server, which is stopping
    suspect = True
    once_more = True
    same_again = True
    answer, detail = NoReplicaError, "no replica could be reached"


class ConnectionStaleError(ConnectionLostError):
    """A kept-alive connection turned out to be closed before a byte of the answer: common, and not a fault.

    It is suspect all the same: a process that dies of a request on a kept connection closes it in the same way.
    """

    grpc = ()
    once_more = False
    counts = False
    free = True


class AttemptTimeoutError(ReplicaError):
    """The replica accepted the request and did not answer in time."""

    timed_here = True
    once_more = True
    answer, detail = DeadlineError, "no replica that was asked answered in time"


class VersionGoneError(ReplicaError):
    """The version that the request names has just been unloaded there."""

    http = (404,)
    grpc = ("NOT_FOUND",)
    counts = False
    refreshes = True
    same_again = True
    answer, detail = NoReplicaError, "the model is being replaced"


class ReplicaBusyError(ReplicaError):
    """It refused the work without doing it."""

    http = (429, 503)
    grpc = ("RESOURCE_EXHAUSTED",)
    counts = False
    rests = True
    answer, detail = OverloadedError, "every replica that was asked is busy"


class ReplicaFailedError(ReplicaError):
    """It tried and failed. Any status that no class names means this."""

    http = (500, 502)
    survived = True


class BadAnswerError(ReplicaError):
    """It reported success with something that is not a prediction: wrong JSON, width or numbers."""

    survived = True


class ReplicaRejectedError(ReplicaError):
    """No replica would accept this request. 501: the model's types have no JSON form."""

    http = (400, 501)
    grpc = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE")
    elsewhere = False
    counts = False
    survived = True


class BodyUnfitError(ReplicaError):
    """The body does not fit the version that the replica has by now. Nothing was sent."""

    elsewhere = False
    counts = False
    answer, detail = PredictBodyError, "the model has just been replaced, and the body does not fit the new version"


class ReplicaGaveUpError(ReplicaError):
    """Its own time limit passed. It may still be at work on the request, so no other replica takes it up."""

    http = (504,)
    grpc = ("DEADLINE_EXCEEDED",)
    elsewhere = False
    counts = False
    answer, detail = DeadlineError, "no replica that was asked answered in time"


FAILURES: tuple[type[ReplicaError], ...] = (
    ReplicaUnreachableError,
    NoDescriptorError,
    ConnectionLostError,
    ConnectionStaleError,
    AttemptTimeoutError,
    VersionGoneError,
    ReplicaBusyError,
    ReplicaFailedError,
    BadAnswerError,
    ReplicaRejectedError,
    BodyUnfitError,
    ReplicaGaveUpError,
)
"""Every kind. `docs/replicas.md` shows them as a table."""
_BY_HTTP = {status: kind for kind in FAILURES for status in kind.http}
_BY_GRPC = {code: kind for kind in FAILURES for code in kind.grpc}


def of_http(status: int, reason: str) -> ReplicaError:
    """The failure that an HTTP status other than 200 means."""
    return _BY_HTTP.get(status, ReplicaFailedError)(reason)


def of_grpc(code: str, reason: str) -> ReplicaError:
    """The failure that a gRPC status code other than OK means, as far as the code alone shows."""
    return _BY_GRPC.get(code, ReplicaFailedError)(reason)
