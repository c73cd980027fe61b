"""The share of one caller, by dynamic thresholds."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.fairness import FairShare


def taken(share: FairShare, caller: str) -> int:
    """What the caller holds once it has taken all that it may."""
    while not share.lack(caller):
        share.take(caller)
    return share.held(caller)


def test_one_caller_alone_gets_eight_ninths() -> None:
    assert taken(FairShare(900), "a") == 800
    assert taken(FairShare(64), "a") == 57


def test_of_a_few_places_one_caller_alone_gets_all() -> None:
    assert [taken(FairShare(total), "a") for total in (0, 1, 2, 8)] == [0, 1, 2, 8]


def test_callers_that_ask_at_once_get_equal_shares_and_leave_some() -> None:
    share = FairShare(1700)
    while not all(share.lack(caller) for caller in "ab"):
        for caller in "ab":
            if not share.lack(caller):
                share.take(caller)
    assert (share.held("a"), share.held("b"), share.free) == (800, 800, 100)


def test_a_caller_that_holds_nothing_may_take_what_is_free() -> None:
    share = FairShare(64)
    taken(share, "a")
    assert share.free == 7
    assert taken(share, "b") == 7
    share.give_back("a")
    assert (share.lack("a"), share.lack("c")) == ("share", "")


def test_the_share_grows_back_when_the_others_have_what_they_want() -> None:
    share = FairShare(64)
    assert taken(share, "b") == 57
    for _ in range(50):
        share.give_back("b")
    assert taken(share, "a") == 51
    for _ in range(7):
        share.give_back("b")
    assert taken(share, "a") == 57


def test_more_than_is_free_is_not_allowed() -> None:
    share = FairShare(100)
    assert not share.lack("a", 100)
    assert share.lack("a", 101) == "all"


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 40), st.booleans()), max_size=100))
def test_what_is_held_and_what_is_free_are_always_the_whole(steps: list[tuple[str, int, bool]]) -> None:
    share = FairShare(100)
    for caller, amount, take in steps:
        if take and not share.lack(caller, amount):
            share.take(caller, amount)
        elif not take:
            share.give_back(caller, min(amount, share.held(caller)))
        assert share.free == 100 - sum(map(share.held, "abcd"))
        assert share.free >= 0
