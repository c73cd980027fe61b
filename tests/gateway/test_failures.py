"""What each kind of failure of one call means."""

import pytest

from gateway.failures import (
    FAILURES,
    ReplicaBusyError,
    ReplicaError,
    ReplicaFailedError,
    ReplicaGaveUpError,
    ReplicaRejectedError,
    VersionGoneError,
    of_grpc,
    of_http,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ReplicaRejectedError),
        (404, VersionGoneError),
        (418, ReplicaFailedError),
        (429, ReplicaBusyError),
        (500, ReplicaFailedError),
        (501, ReplicaRejectedError),
        (503, ReplicaBusyError),
        (504, ReplicaGaveUpError),
    ],
)
def test_a_status_means_one_kind_of_failure(status: int, kind: type[ReplicaError]) -> None:
    assert type(of_http(status, "status")) is kind


def test_a_grpc_code_that_no_kind_names_is_the_replicas_failure() -> None:
    assert type(of_grpc("DATA_LOSS", "")) is ReplicaFailedError


@pytest.mark.parametrize("kind", FAILURES)
def test_no_answer_to_a_client_repeats_what_a_replica_sent(kind: type[ReplicaError]) -> None:
    answer = kind("a secret of the replica").as_answer()
    assert "secret" not in answer.detail
    assert (answer.retry_after_s is not None) == (answer.status == 503)


def test_no_status_means_two_kinds() -> None:
    statuses = [status for kind in FAILURES for status in (*kind.http, *kind.grpc)]
    assert len(statuses) == len(set(statuses))
