#!/usr/bin/env bash
# The benchmark suite, for an otherwise idle machine with 24 GB of memory and 8 GB of free disk.
# The published method alone takes some minutes.
#
#   bash tools/bench.sh [ARGUMENT OF PYTEST]...
#
# Results go to benchmarks/results/NAME.json, NAME from the environment, by default "latest".
# From there tools/publish_benchmarks.py writes the tables of benchmarks/RESULTS.md. Part of the suite:
# NAME=try bash tools/bench.sh -k "loops and ResNet50"
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh

make_environment bench --editable '.[test,training,peers]'

mkdir -p benchmarks/results
MICAM_BENCH_COMMAND="bash tools/bench.sh${*:+ ${*@Q}}" \
    "$python" -m pytest benchmarks --benchmark-enable --benchmark-group-by=group \
    --benchmark-columns=min,median,max,rounds \
    --benchmark-json="benchmarks/results/${NAME:-latest}.json" "$@"
