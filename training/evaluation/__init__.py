"""`python -m training evaluate`: how good and how honest a model is, as JSON, as a page and as a model card.

from training.evaluation import evaluate, write
result = evaluate(source, examples.of(Path("runs/shells")))
"""

from training.evaluation.measuring import ROBUSTNESS_PICTURES, Result, Subject, evaluate, evaluate_run, of_run
from training.evaluation.record import Evaluation, load
from training.evaluation.writing import write

__all__ = [
    "ROBUSTNESS_PICTURES",
    "Evaluation",
    "Result",
    "Subject",
    "evaluate",
    "evaluate_run",
    "load",
    "of_run",
    "write",
]
