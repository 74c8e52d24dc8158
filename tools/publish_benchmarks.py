"""Write the tables of ``benchmarks/results/*.json`` into ``benchmarks/RESULTS.md``.

    .cache/bench/bin/python tools/publish_benchmarks.py [PAGE [RESULT.json...]]

What is divided by what, and the goals, stand in ``benchmarks/ratios.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Run as a script, it finds its own folder alone.
sys.path.insert(0, str(ROOT))

from benchmarks.publishing import PublishingError, publish  # noqa: E402


def main() -> None:
    """Publish; a mistake is one line and exit code 1."""
    page, *given = [Path(word) for word in sys.argv[1:]] or [ROOT / "benchmarks" / "RESULTS.md"]
    results = given or sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    try:
        publish(results, page)
    except (PublishingError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
