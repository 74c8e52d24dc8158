#!/usr/bin/env bash
# The tests with loops that check every index: one that leaves its array raises an IndexError.
# Arguments go to pytest; without any, all tests run. It takes its time, so tools/test.sh leaves it out:
# bash tools/boundscheck.sh tests/maps tests/engine
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.cache/test/bin/python}
export NUMBA_BOUNDSCHECK=1
# Loops compiled without checks would be taken from their own cache, which does not tell one from the other.
export NUMBA_CACHE_DIR="$PWD/.cache/boundscheck"
mkdir -p "$NUMBA_CACHE_DIR"

# It must be able to find something: a cached loop of the kind that is checked, one step too far.
"$python" - << 'CODE'
import numpy as np

from micam_fast._loops import maps

table = np.zeros((1, maps.TABLE_WIDTH), np.int64)
table[0, maps.KIND], table[0, maps.CHANNELS] = maps.FLAT, 5
table[0, maps.ROWS_OUT], table[0, maps.COLUMNS_OUT] = 1, 5
tasks, numbers = np.zeros((1, 2), np.int64), np.zeros(0, np.int32)
floats = np.zeros(4, np.float32)
found = np.zeros((1, 5), np.float32), np.zeros((1, 1, 2))
try:
    maps.project_tasks(tasks, table, floats, floats, numbers, numbers, *found)
except IndexError as error:
    print(f"loops are checked: {error}")
else:
    raise SystemExit("a loop reads past its array and nothing is said: the loops are not checked")
CODE

"$python" -m pytest "$@"
