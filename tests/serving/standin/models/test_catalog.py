import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from serving.standin.engine import tensorflow_c
from serving.standin.engine.fair_semaphore import FairSemaphore
from serving.standin.errors import StatusError
from serving.standin.models.catalog import Catalog, ModelAddress
from serving.standin.models.servable import Servable


class Version:
    """The part of a servable that the catalog uses."""

    def __init__(self) -> None:
        self.users = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        self.users += 1
        yield
        self.users -= 1


def catalog(*versions: int) -> Catalog:
    made = Catalog()
    made.labels = {"m": {"stable": 1, "gone": 9}}
    for version in versions:
        made.add("m", version, cast("Servable", Version()))
    return made


def found(made: Catalog, address: ModelAddress) -> int:
    with made.lease(address) as (number, _):
        return number


def fault(made: Catalog, address: ModelAddress) -> str:
    with pytest.raises(StatusError) as caught:
        found(made, address)
    return str(caught.value)


def test_without_a_version_the_largest_one_answers() -> None:
    made = catalog(1, 20, 3)
    assert found(made, ModelAddress("m")) == 20
    assert found(made, ModelAddress("m", version=3)) == 3
    assert found(made, ModelAddress("m", label="stable")) == 1


def test_what_is_not_loaded_is_not_found() -> None:
    made = catalog(1)
    assert fault(made, ModelAddress("x")) == "NOT_FOUND: Servable not found for request: Latest(x)"
    assert fault(made, ModelAddress("m", version=2)) == "NOT_FOUND: Servable not found for request: Specific(m, 2)"
    assert fault(made, ModelAddress("m", label="gone")) == "NOT_FOUND: Servable not found for request: Specific(m, 9)"
    assert fault(made, ModelAddress("x", label="y")) == "INVALID_ARGUMENT: Unrecognized servable version label: y"


def test_a_version_removed_in_mid_request_stays_in_use_until_its_end() -> None:
    made = catalog(1)
    with made.lease(ModelAddress("m")):
        removed = cast("Version", made.remove("m", 1))
        assert removed.users == 1
        assert fault(made, ModelAddress("m")) == "NOT_FOUND: Servable not found for request: Latest(m)"
    assert removed.users == 0


class Session:
    """The part of an engine's session that closing uses."""

    meta_graph = b""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


def test_closing_waits_for_the_last_user() -> None:
    session = Session()
    servable = Servable(cast("tensorflow_c.Session", session), b"", FairSemaphore(1))
    with servable.in_use():
        closing = threading.Thread(target=servable.close)
        closing.start()
        assert not session.closed.is_set()
    closing.join(10)
    assert session.closed.is_set()
