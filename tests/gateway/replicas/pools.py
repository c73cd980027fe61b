"""Pools of ready replicas named a, b, c, without a network or a clock."""

from collections.abc import Sequence

from gateway.labels import Description, Preprocessing
from gateway.replicas.balancing import Balancing
from gateway.replicas.pool import Pool
from gateway.replicas.replica import Replica
from gateway.tfserving.contract import ServedModel


def served(version: str) -> ServedModel:
    return ServedModel(
        name="my_model",
        version=version,
        description=Description(title="t", labels=("a",), preprocessing=Preprocessing(fingerprint="f")),
        signature="serving_bytes",
        encoding="bytes",
        input="image",
        input_range=(0, 1),
        output="probabilities",
        softmax=True,
    )


MODELS = {version: served(version) for version in ("1", "2", "3")}


def pool_of(
    names: str,
    *,
    max_in_flight: int = 32,
    max_ejected_share: float = 0.5,
    balancing: Balancing | None = None,
    held_back: str | None = None,
    version: str = "1",
) -> Pool:
    """A replica for each letter; all of them serve `version`."""
    pool = Pool(
        max_in_flight=max_in_flight, max_ejected_share=max_ejected_share, balancing=balancing, held_back=held_back
    )
    pool.set_addresses(names)
    for replica in pool.replicas:
        pool.found(replica, 0, {version: MODELS[version]})
    return pool


def turns(pool: Pool, *, now: float, count: int, tried: str = "", version: str | None = None) -> str:
    """The replicas that get a slot, one after the other, each of which is given back at once; `-` for none."""
    skipped = [replica for replica in pool.replicas if replica.address in tried]
    return "".join(turn(pool, now, tried=skipped, version=version) for _ in range(count))


def turn(pool: Pool, now: float, *, tried: Sequence[Replica] = (), version: str | None = None) -> str:
    slot = pool.take(now, tried=tried, version=version)
    if slot is None:
        return "-"
    pool.finished(slot.replica)
    return slot.replica.address


def occupy(replica: Replica) -> None:
    """One attempt is in flight there."""
    replica.in_flight += 1


def eject(pool: Pool, replica: Replica, *, now: float) -> None:
    """Eject it by failures in a row; those that end after its ejection change nothing."""
    while replica.state(now) != "ejected":
        pool.failed(replica, now, "status 500")


def states(pool: Pool, now: float) -> list[str]:
    return [replica.state(now) for replica in pool.replicas]


def quick(pool: Pool, *replicas: Replica, seconds: float = 0.01) -> None:
    for replica in replicas:
        for _ in range(5):
            pool.succeeded(replica, now=0, seconds=seconds)
