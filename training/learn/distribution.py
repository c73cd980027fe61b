"""On what a training runs: this machine's processor or GPU, all of its GPUs, or several machines."""

import json
import os
from typing import Any

import tensorflow as tf

from training.errors import RunError
from training.learn.options import Distribution


def strategy(distribute: Distribution) -> Any:
    """What TensorFlow spreads the steps with.

    Args:
        distribute: "none": one device, a GPU where TensorFlow finds one; "mirrored": every GPU of this machine;
            "workers": every machine of TF_CONFIG, each of which starts the same command.

    Raises:
        RunError: TF_CONFIG is missing or is none.
    """
    if distribute == "mirrored":
        return tf.distribute.MirroredStrategy()
    if distribute == "workers":
        _check_workers()
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def leads(strategy: Any) -> bool:
    """Is this the one process that writes? The only one, or the first of several workers."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id == 0


def spread(strategy: Any, batches: Any) -> Any:
    """Batches of all replicas, cut into the part of each."""
    if strategy.num_replicas_in_sync == 1 and strategy.cluster_resolver is None:
        return batches
    how = tf.data.Options()
    how.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return strategy.experimental_distribute_dataset(batches.with_options(how))


def meet(strategy: Any) -> None:
    """Wait until every worker has come so far: one that leaves early counts as crashed with the others."""
    if strategy.cluster_resolver is None:
        return

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def together() -> Any:
        return strategy.run(_one_from_each)

    together()


def _one_from_each() -> Any:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))


def _check_workers() -> None:
    try:
        found = json.loads(os.environ.get("TF_CONFIG", ""))
        found["cluster"]["worker"], found["task"]["index"]
    except (ValueError, KeyError, TypeError) as cause:
        raise RunError(
            "--distribute workers needs TF_CONFIG, the JSON that tells each machine of the others: "
            "docs/training.md shows one."
        ) from cause
