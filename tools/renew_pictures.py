"""Renew the pictures that the README shows and ``tests/test_golden.py`` guards.

Run it after a wanted change of the look, with the locked versions, and look at what it made:

    .cache/test/bin/python tools/renew_pictures.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import micam_fast
from micam_fast.demo import DIGITS, MODEL

PICTURES = Path(__file__).parent / "pictures"
DIGIT = 3


def main() -> None:
    """Write the demo's picture of one digit, in both looks."""
    model = micam_fast.load_model(MODEL)
    # As `micam-fast demo` draws it.
    explanation = replace(
        model.explain(np.load(DIGITS)[DIGIT]), sample=f"digits.npy[{DIGIT}]", label=str(DIGIT)
    )
    for look in ("isometric", "flat"):
        print(explanation.save(PICTURES / f"demo-digit-{DIGIT}-{look}.png", look))


if __name__ == "__main__":
    main()
