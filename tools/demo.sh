#!/usr/bin/env bash
# From a fresh clone to ten diagrams: makes an environment, installs micam-fast, runs the demo.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh

make_environment demo --editable .
"$python" -m micam_fast demo --output-dir "${1:-demo-output}"
