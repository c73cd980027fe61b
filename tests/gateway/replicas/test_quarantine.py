"""Which requests are suspected of having cost a replica its process. Simulated time, no network."""

import numpy as np
import pytest

from gateway.errors import RequestQuarantinedError
from gateway.replicas import quarantine
from gateway.replicas.quarantine import Body, Loss, Quarantine
from gateway.replicas.replica import Replica
from gateway.tfserving import Call

A, B = Replica("a:1"), Replica("b:1")


def upload(shade: int) -> Body:
    pixels = np.full((224, 224, 3), shade, np.uint8)
    return Body(("upload", shade), pixels)


def call(text: bytes, target: str = "/v1/models/my_model:predict") -> Body:
    body = Body.of_call(Call("POST", target, {}, text))
    assert body is not None
    return body


def lost(
    kept: Quarantine, body: Body, replica: Replica, now: float, *, since: float | None = None, again: bool = False
) -> Loss:
    """At work for a tenth of a second, unless told otherwise."""
    return kept.lost(body, replica, now, since=now - 0.1 if since is None else since, again=again)


def answer(kept: Quarantine, body: Body, now: float) -> None:
    kept.answers.append((body.name, body.target, now))
    kept.acquit(body, now)


def refused(kept: Quarantine, body: Body, now: float) -> int | None:
    """Seconds for which it is still refused; None: it is let in."""
    try:
        kept.admit(body, now)
    except RequestQuarantinedError as error:
        return error.retry_after_s
    return None


# --- verdicts -----------------------------------------------------------------------------------------------------


def test_a_loss_that_nothing_else_explains_is_the_requests() -> None:
    kept = Quarantine()
    assert kept.verdict(lost(kept, upload(1), A, now=0)) == "alone"


def test_a_body_that_was_answered_within_a_minute_is_innocent() -> None:
    kept = Quarantine()
    answer(kept, upload(1), now=0)
    assert kept.verdict(lost(kept, upload(1), A, now=59)) == "innocent"
    assert refused(kept, upload(1), now=59) is None


def test_an_answer_shows_nothing_after_a_minute() -> None:
    kept = Quarantine()
    answer(kept, upload(1), now=0)
    assert kept.verdict(lost(kept, upload(1), A, now=60)) == "alone"


def test_what_one_target_answers_may_harm_at_another() -> None:
    kept = Quarantine()
    answer(kept, call(b"x", "/v1/models/my_model:classify"), now=0)
    assert kept.verdict(lost(kept, call(b"x"), A, now=1)) == "alone"


def test_bodies_that_are_lost_together_share_the_suspicion() -> None:
    kept = Quarantine()
    first = lost(kept, upload(1), A, now=0)
    assert kept.verdict(first) == "alone"
    second = lost(kept, upload(2), A, now=0.4)
    assert (kept.verdict(first), kept.verdict(second)) == ("shared", "shared")


@pytest.mark.parametrize(("replica", "shade", "now"), [(B, 2, 0.0), (A, 1, 0.0), (A, 2, 0.6)])
def test_another_replica_the_same_body_or_another_moment_is_no_company(
    replica: Replica, shade: int, now: float
) -> None:
    kept = Quarantine()
    first = lost(kept, upload(1), A, now=0)
    lost(kept, upload(shade), replica, now=now)
    assert kept.verdict(first) == "alone"


def test_harmless_bodies_that_are_lost_together_with_another_do_not_excuse_it() -> None:
    kept = Quarantine()
    answer(kept, upload(2), now=0)
    lost(kept, upload(2), A, now=1)
    assert kept.verdict(lost(kept, upload(1), A, now=1)) == "alone"
    lost(kept, upload(2), A, now=1.1)
    assert kept.verdict(lost(kept, upload(1), A, now=3)) == "alone"  # on its second try


def test_a_replica_that_also_loses_harmless_bodies_at_other_times_is_to_blame() -> None:
    kept = Quarantine()
    answer(kept, upload(2), now=0)
    lost(kept, upload(2), A, now=1)
    assert kept.verdict(lost(kept, upload(1), A, now=3)) == "innocent"
    assert kept.verdict(lost(kept, upload(1), B, now=3)) == "alone"
    assert kept.verdict(lost(kept, upload(3), A, now=14)) == "alone"  # by then it is long ago


def test_harmless_bodies_that_arrived_after_a_loss_show_that_the_replica_lived_on_and_is_to_blame() -> None:
    kept = Quarantine()
    answer(kept, upload(2), now=0)
    first = lost(kept, upload(1), A, now=1)
    lost(kept, upload(2), A, now=1.2, since=1.04)  # it may have met the same death
    assert kept.verdict(first) == "alone"
    lost(kept, upload(2), A, now=1.2, since=1.1)
    assert kept.verdict(first) == "innocent"
    assert refused(kept, upload(1), now=1.2) is None


def test_a_conviction_ends_when_the_replica_turns_out_to_be_to_blame() -> None:
    kept = Quarantine()
    answer(kept, upload(2), now=0)
    lost(kept, upload(1), A, now=1)
    lost(kept, upload(1), A, now=2, again=True)
    assert refused(kept, upload(1), now=2.5) == 600
    lost(kept, upload(2), A, now=3)
    assert refused(kept, upload(1), now=3.5) is None


def test_an_excuse_at_one_replica_does_not_excuse_the_loss_of_another() -> None:
    kept = Quarantine()
    answer(kept, upload(2), now=0)
    lost(kept, upload(1), A, now=1)
    lost(kept, upload(1), B, now=1)
    lost(kept, upload(2), A, now=3)
    assert refused(kept, upload(1), now=3) == 118


def test_a_body_that_is_acquitted_becomes_evidence_against_its_replica() -> None:
    kept = Quarantine()
    lost(kept, upload(2), A, now=1)
    assert kept.verdict(lost(kept, upload(1), A, now=3)) == "alone"
    answer(kept, upload(2), now=4)
    assert kept.verdict(lost(kept, upload(3), A, now=5)) == "innocent"


def test_an_upload_is_innocent_where_a_pass_through_call_was_lost_with_it() -> None:
    kept = Quarantine()
    own, foreign = lost(kept, upload(1), A, now=0), lost(kept, call(b"x"), A, now=0)
    assert (kept.verdict(own), kept.verdict(foreign)) == ("innocent", "alone")
    assert kept.verdict(lost(kept, call(b"y"), A, now=0)) == "shared"


def test_what_is_lost_together_with_a_convicted_body_is_innocent() -> None:
    kept = Quarantine()
    beside = lost(kept, upload(2), B, now=5)
    assert lost(kept, upload(1), B, now=5, again=True).convicted
    assert kept.verdict(beside) == "innocent"


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_suspected_body_is_refused_for_two_minutes_and_others_are_not() -> None:
    kept = Quarantine()
    lost(kept, upload(1), A, now=0)
    assert (refused(kept, upload(1), now=1), refused(kept, upload(2), now=1)) == (119, None)
    assert refused(kept, upload(1), now=120) is None


def test_a_convicted_body_is_refused_for_ten_minutes_and_longer_with_each_repetition() -> None:
    kept = Quarantine()
    lost(kept, upload(1), A, now=0)
    assert lost(kept, upload(1), A, now=2, again=True).convicted
    assert refused(kept, upload(1), now=601) == 600
    assert refused(kept, upload(1), now=1200) == 600
    assert refused(kept, upload(1), now=1800) is None


def test_an_answer_acquits() -> None:
    kept = Quarantine()
    lost(kept, upload(1), A, now=0)
    answer(kept, upload(1), now=1)
    assert refused(kept, upload(1), now=2) is None


def test_a_harmless_body_that_loses_two_connections_is_not_refused_but_must_be_answered_anew() -> None:
    kept = Quarantine()
    answer(kept, upload(1), now=0)
    lost(kept, upload(1), A, now=1)
    assert not lost(kept, upload(1), B, now=2, again=True).convicted
    assert refused(kept, upload(1), now=3) is None
    assert not kept.harmless(upload(1), now=3)


def test_the_oldest_digest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MAX_HELD", 2)
    kept = Quarantine()
    for number in range(3):
        lost(kept, call(b"%d" % number), A, now=number)
    assert [refused(kept, call(b"%d" % number), now=3) for number in range(3)] == [None, 118, 119]


def test_a_digest_is_of_the_kind_and_of_every_byte() -> None:
    pixels = np.zeros((224, 224, 3), np.uint8)
    last = pixels.copy()
    last[-1, -1, -1] = 1
    bodies = [Body(("upload", 0), pixels), Body(("upload", 0), last), call(pixels.tobytes())]
    assert len({body.digest() for body in bodies}) == 3
