"""Statistics of every layer over a data set: what it costs, and what it extracts."""

from micam_fast.analyses.statistics.results import Statistics
from micam_fast.analyses.statistics.rows import LayerStatistics
from micam_fast.analyses.statistics.stats import stats

__all__ = ["LayerStatistics", "Statistics", "stats"]
