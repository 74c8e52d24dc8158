"""Whether maps can be trusted: weight randomization, deletion and insertion."""

from micam_fast.checking.cascade import Cascade
from micam_fast.checking.checks import Check, check
from micam_fast.checking.curves import Curves

__all__ = ["Cascade", "Check", "Curves", "check"]
