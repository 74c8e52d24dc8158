# Sourced by demo.sh and test.sh: makes a virtual environment of its own, once.
#
#   make_environment NAME REQUIREMENT...   installs what is not there yet; sets $python
#   constraints=FILE                       before it: other locked versions than ours
#
# What is installed is noted in a stamp, so that a second call costs nothing until pyproject.toml,
# the locked versions or the call itself change.

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
            2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "micam-fast needs Python 3.11, 3.12 or 3.13, and none of them is on PATH" >&2
    return 1
}

make_environment() {
    local name=$1 base folder stamp
    shift
    base=$(find_python)
    folder=".cache/$name"
    stamp=$({ "$base" --version; pwd; cat pyproject.toml tools/constraints.txt; echo "$*"; } | cksum)
    python="$folder/bin/python"
    if [ -x "$python" ] && [ "$(cat "$folder/stamp" 2> /dev/null)" = "$stamp" ]; then
        return
    fi
    echo "making the environment $folder (only the first time)"
    rm -rf "$folder"
    if ! "$base" -m venv "$folder"; then
        echo "cannot make a virtual environment; Debian and Ubuntu: apt-get install python3-venv" >&2
        return 1
    fi
    "$python" -m pip install --quiet --disable-pip-version-check \
        --constraint "${constraints:-tools/constraints.txt}" "$@"
    echo "$stamp" > "$folder/stamp"
}
