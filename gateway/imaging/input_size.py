"""The model's input: its size in pixels, its size in bytes and its array type, for every reader in the repository."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # decode processes import no NumPy: it would be a third of their memory
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
else:
    Pixels = "NDArray[np.uint8]"
"""uint8, shape (SIDE_PX, SIDE_PX, 3), RGB, rows top to bottom, 0-255. Unscaled: the graph scales."""

SIDE_PX = 224
"""Width and height of the model's input."""
RGB_BYTES = SIDE_PX * SIDE_PX * 3
"""Length of one input as raw bytes, row after row."""
