"""`python -m training gate`: may this model serve? Thresholds from a file, a verdict with reasons.

from training.gate import judge, thresholds
verdict = judge(evaluation, thresholds(Path("gates.toml")), comparison)
"""

from training.gate.thresholds import DEFAULT, Thresholds
from training.gate.thresholds import read as thresholds
from training.gate.verdict import Check, Verdict, judge, load, write

__all__ = ["DEFAULT", "Check", "Thresholds", "Verdict", "judge", "load", "thresholds", "write"]
