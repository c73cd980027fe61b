"""Print floating-point numbers as the real server does (docs/tensorflow-serving.md, "Numbers").

Six significant digits where they parse back to the same number, else as many as always do. Whole numbers end in `.0`.
"""

from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ENOUGH_DIGITS = {4: 9, 8: 17}
"""Size of a number in bytes -> significant digits that always identify it."""
_NOT_FINITE = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def decimals(values: NDArray[np.floating[Any]]) -> list[str]:
    """The text of each number. `values`: float32 or float64."""
    numbers = values.tolist()
    texts = [f"{number:.6g}" for number in numbers]
    with np.errstate(over="ignore"):
        read_back = np.array(texts, np.float64).astype(values.dtype)
    digits = _ENOUGH_DIGITS[values.dtype.itemsize]
    for at in np.flatnonzero(read_back != values).tolist():
        texts[at] = f"{numbers[at]:.{digits}g}"
    return [text if "." in text or "e" in text else _NOT_FINITE.get(text) or f"{text}.0" for text in texts]


def shortest(number: float) -> str:
    """A finite number as RapidJSON's writer prints it: the fewest digits that parse back, and 1e30 for 1e+30."""
    if number == 0:
        return repr(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    if 0 < point <= 21:
        text = f"{text[:point]:0<{point}}.{text[point:] or 0}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        text = f"{text[0]}{'.' * (len(text) > 1)}{text[1:]}e{point - 1}"
    return "-" * sign + text
