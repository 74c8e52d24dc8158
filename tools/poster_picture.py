"""The README's poster: a trained EfficientNet-Lite0 and a cat, from wheels of the tests.

    MICAM_TORCH=1 .cache/test/bin/python tools/poster_picture.py

PyTorch is needed. Writes ``tools/pictures/poster-efficientnet-lite0.png``.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Run as a script, it finds its own folder alone.
sys.path.insert(0, str(ROOT))

import micam_fast  # noqa: E402
from tests.helpers.trained_modules import chelsea, efficientnet_lite0  # noqa: E402

PICTURE = ROOT / "tools" / "pictures" / "poster-efficientnet-lite0.png"
NAMES = {
    281: "tabby",
    282: "tiger cat",
    283: "Persian cat",
    284: "Siamese cat",
    285: "Egyptian cat",
}


def main() -> None:
    """Export the network and draw the picture."""
    sample = chelsea()
    names = [NAMES.get(index, f"class {index}") for index in range(1000)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "EfficientNet-Lite0.onnx"
        micam_fast.export(efficientnet_lite0(), path, sample=sample[None])
        model = micam_fast.load_model(path, class_names=names)
        found = replace(model.explain(sample), sample="chelsea.png")
        found.save(PICTURE, compress_level=9)


if __name__ == "__main__":
    main()
