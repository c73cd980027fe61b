"""A head from features alone: multinomial logistic regression, in seconds where a training takes minutes.

The same features serve as often as heads are fitted, so each picture passes the network once.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from training.learn.model import Head
from training.metrics import Classes

STRENGTH = 0.01
"""Of the penalty on the kernel, for features of a spread of 1. On 224 pictures the loss on others is the same, within
0.004, from 0.001 to 0.3 (docs/decisions/0050-quick.md)."""
STEPS = 200
"""Most steps of the minimizer, which ends when a step gains less than a millionth; some 30 are usual."""


def fit_head(features: NDArray[np.float32], truth: Classes, weights: NDArray[np.float32], classes: int) -> Head:
    """The head with the lowest penalized cross entropy.

    Args:
        features: shape (N, features).
        truth: shape (N,), 0 to `classes` - 1. Classes without a picture get an improbable output.
        weights: of the pictures, shape (N,), 1 on average.

    Source: L-BFGS, Liu and Nocedal 1989, "On the limited memory BFGS method for large scale optimization".
    """
    mean = features.mean(axis=0)
    spread = np.sqrt(np.mean((features - mean) ** 2)) or np.float32(1)
    centred = ((features - mean) / spread).astype(np.float32)
    basis = np.linalg.qr(centred.T).Q if len(centred) < centred.shape[1] else np.eye(centred.shape[1], dtype=np.float32)
    kernel, bias = _lowest(centred @ basis, truth, weights, classes)
    kernel = basis @ kernel / spread
    return Head(kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32))


def _lowest(
    points: NDArray[np.float32], truth: Classes, weights: NDArray[np.float32], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of the lowest loss. Pictures fewer than features span all directions of the kernel."""
    wanted = np.zeros((len(truth), classes), np.float32)
    wanted[np.arange(len(truth)), truth] = 1
    shares = (weights / len(truth))[:, None].astype(np.float32)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        values = flat.astype(np.float32).reshape(-1, classes)
        kernel, bias = values[:-1], values[-1]
        logs = log_softmax(points @ kernel + bias, axis=1)
        errors = shares * (np.exp(logs) - wanted)
        slope = np.vstack((points.T @ errors + STRENGTH * kernel, errors.sum(axis=0)))
        cross_entropy = -(shares * wanted * logs).sum(dtype=np.float64)
        return cross_entropy + STRENGTH / 2 * np.square(kernel, dtype=np.float64).sum(), slope.ravel().astype(
            np.float64
        )

    start = np.zeros((points.shape[1] + 1) * classes)
    limits = {"maxiter": STEPS, "ftol": 1e-6}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=limits).x.astype(np.float32).reshape(-1, classes)
    return found[:-1], found[-1]
