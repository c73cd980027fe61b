import gc
from collections.abc import Iterator

import pytest

from tests.faults.gateway import Gateway, running_gateway
from tests.faults.replica import Replica, running_replica


@pytest.fixture(autouse=True)
def no_old_garbage() -> None:
    """Clients and replica are threads of this process: a search through all that earlier tests left would stop them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def replica() -> Iterator[Replica]:
    with running_replica() as replica:
        yield replica


@pytest.fixture(scope="module")
def gateway(replica: Replica, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Before one replica, with settings as they are by default."""
    with running_gateway(replica.address, tmp_path_factory.mktemp("gateway") / "log") as gateway:
        yield gateway
