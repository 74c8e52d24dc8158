#!/usr/bin/env bash
# torchvision's own networks, by our export and PyTorch's two: prints names, maps, pairs, seconds, memory.
#
#   bash tools/torchvision_trial.sh [NETWORK]...
#
# Not in CI: torchvision's wheel fits the PyTorch with CUDA alone, and the environment takes 5.5 GB.
# All seven networks take some ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh

# The suite's PyTorch is locked to another version.
constraints=.cache/torchvision-constraints.txt
mkdir -p .cache
grep -v '^torch==' tools/constraints.txt > "$constraints"
make_environment torchvision --editable '.[torch]' pytest torch==2.14.1 torchvision==0.29.1

"$python" tools/torchvision_trial.py "$@"
