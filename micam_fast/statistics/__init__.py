"""Statistics of every layer over a data set: what it costs, and what it extracts."""

from micam_fast.statistics.measuring import stats
from micam_fast.statistics.results import Statistics
from micam_fast.statistics.rows import LayerStatistics

__all__ = ["LayerStatistics", "Statistics", "stats"]
