"""`python -m training validate DIR`: is the data sound? Reads everything, changes nothing, repairs nothing.

from training.validation import validate, write
report = validate(Path("photos"))
write(report, Path("validation-report"))
"""

from training.validation.checks import MIN_PER_CLASS
from training.validation.findings import KINDS, Finding
from training.validation.report import Report, check_place, validate, write
from training.workers import Workers

__all__ = ["KINDS", "MIN_PER_CLASS", "Finding", "Report", "Workers", "check_place", "validate", "write"]
