from serving.standin.errors import Code, StatusError
from serving.standin.models.version_policy import All, Latest, ModelVersions, Retries, Specific, State

BROKEN = StatusError(Code.DATA_LOSS, "broken")


def model(*, retries: int = 0) -> ModelVersions:
    return ModelVersions(Retries(retries, interval_s=60))


def load(versions: ModelVersions, now: float = 0) -> int:
    """Mark the next version to load as loaded."""
    version = versions.next_load(now)
    assert version
    version.state = State.AVAILABLE
    return version.number


def states(versions: ModelVersions) -> str:
    return " ".join(f"{version.number}:{version.state}" for version in versions.highest_first())


def test_policies_choose_among_what_is_there() -> None:
    present = [1, 3, 20]
    assert Latest().choose(present) == {20}
    assert Latest(2).choose(present) == {3, 20}
    assert All().choose(present) == {1, 3, 20}
    assert Specific(frozenset({1, 4})).choose(present) == {1}


def test_the_highest_version_is_loaded_first() -> None:
    versions = model()
    versions.want([1, 2])
    assert [load(versions), load(versions)] == [2, 1]
    assert versions.next_load(0) is None


def test_the_old_version_stays_until_the_new_one_is_available() -> None:
    versions = model()
    versions.want([1])
    load(versions)
    versions.want([2])
    assert versions.next_unload() is None
    load(versions)
    old = versions.next_unload()
    assert old
    assert old.number == 1


def test_the_old_version_stays_when_the_new_one_fails() -> None:
    versions = model()
    versions.want([1])
    load(versions)
    versions.want([2])
    new = versions.next_load(0)
    assert new
    versions.load_failed(new, BROKEN, now=0)
    assert versions.next_unload() is None
    assert states(versions) == "2:END 1:AVAILABLE"


def test_where_no_version_is_wanted_all_are_unloaded() -> None:
    versions = model()
    versions.want([1])
    load(versions)
    versions.want([])
    assert versions.next_unload() is versions.versions[1]


def test_a_failed_load_is_tried_again_after_a_while_and_not_for_ever() -> None:
    versions = model(retries=1)
    versions.want([1])
    version = versions.next_load(0)
    assert version
    version.state, version.attempting = State.LOADING, True
    assert versions.next_load(1000) is None
    versions.load_failed(version, BROKEN, now=1000)
    assert states(versions) == "1:LOADING"
    assert versions.next_load(1059.9) is None
    assert versions.next_load(1060) is version
    versions.load_failed(version, BROKEN, now=1060)
    assert states(versions) == "1:END"
    assert versions.failed is BROKEN


def test_a_failed_version_gets_another_chance_when_it_disappears_and_comes_back() -> None:
    versions = model()
    versions.want([1])
    version = versions.next_load(0)
    assert version
    versions.load_failed(version, BROKEN, now=0)
    versions.want([1])
    assert versions.next_load(1000) is None
    versions.want([])
    versions.want([1])
    assert versions.next_load(1000) is versions.versions[1]


def test_a_version_that_vanishes_before_its_turn_is_given_up() -> None:
    versions = model()
    versions.want([1])
    versions.want([])
    assert versions.next_load(0) is None
    assert states(versions) == "1:END"


def test_a_model_has_failed_only_when_every_wanted_version_has() -> None:
    versions = model()
    versions.want([1, 2])
    two = versions.next_load(0)
    assert two
    versions.load_failed(two, BROKEN, now=0)
    assert versions.failed is None
    one = versions.next_load(0)
    assert one
    versions.load_failed(one, BROKEN, now=0)
    assert versions.failed is BROKEN
