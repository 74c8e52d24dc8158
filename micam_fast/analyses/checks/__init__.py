"""Whether maps can be trusted: weight randomization, deletion and insertion."""

from micam_fast.analyses.checks.cascade import Cascade
from micam_fast.analyses.checks.checks import Check, check
from micam_fast.analyses.checks.curves import Curves

__all__ = ["Cascade", "Check", "Curves", "check"]
