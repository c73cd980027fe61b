"""Measure the model alone, in one process: CPU milliseconds per picture. Arguments: folder, count. Prints JSON.

Uses one thread and TensorFlow's own allocator, like the replicas. This is the lower bound for gateway and replicas.
"""

import json
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf

WARM_UP = 20


def cpu_ms_per_picture(directory: str, count: int) -> float:
    """Call the float signature of the SavedModel with one picture at a time, from NumPy to NumPy."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model: Any = tf.saved_model.load(directory)  # kept, because its signatures are freed with it
    signature = model.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs
    pictures = np.random.default_rng(0).random((8, 1, 224, 224, 3), np.float32)
    for turn in range(WARM_UP + count):
        if turn == WARM_UP:
            started = time.process_time()
        signature(**{name: tf.constant(pictures[turn % 8])})[output].numpy()
    return (time.process_time() - started) / count * 1000


if __name__ == "__main__":
    json.dump(cpu_ms_per_picture(sys.argv[1], int(sys.argv[2])), sys.stdout)
