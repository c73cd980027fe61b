"""`python -m training compare OLD NEW DIR`: two models, the same pictures, what differs.

from training.comparison import compare
comparison = compare(old, new, examples)
"""

from training.comparison.comparing import compare
from training.comparison.measures import ClassChange, Comparison, Flip, measured

__all__ = ["ClassChange", "Comparison", "Flip", "compare", "measured"]
