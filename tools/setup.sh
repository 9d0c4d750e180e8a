#!/bin/sh
# Makes .venv with all that the pipeline and its tests need. Does nothing where nothing changed.
set -eu
cd "$(dirname "$0")/.."
venv=$PWD/.venv
torch='torch>=2.6'

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2; exit 3; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
# bytecode is compiled here, once: student code runs from read-only folders and could not keep it
uv() { VIRTUAL_ENV=$venv "$venv/bin/uv" "$@"; }

find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if new_enough "$name"; then
            python=$(command -v "$name")
            return
        fi
    done
    fail "no Python 3.11 or newer was found" "install one, or name it: make setup PYTHON=/path/to/python3"
}

make_venv() {
    if [ -x "$venv/bin/python" ] && new_enough "$venv/bin/python"; then
        return
    fi
    find_python
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python has no venv module" "install it; on Debian and Ubuntu: apt-get install python3-venv"
    say "making .venv with $python"
    "$python" -m venv --clear "$venv"
}

cpu_index_answers() {
    echo "$torch" | UV_HTTP_TIMEOUT=5 UV_HTTP_RETRIES=0 uv pip compile --quiet --no-deps --torch-backend cpu - >/dev/null 2>&1
}

# A folder of wheels, else PyTorch's CPU index, else the package index's default build.
install_torch() {
    if "$venv/bin/python" -c 'from importlib.metadata import version; version("torch")' 2>/dev/null; then
        return
    elif [ -n "${UV_FIND_LINKS:-}" ] && uv pip install --quiet --compile-bytecode --no-index --no-deps "$torch" 2>/dev/null; then
        say "torch: from the wheel folder in UV_FIND_LINKS"
    elif [ "$(uname -s)" = Linux ] && cpu_index_answers; then
        say "torch: the CPU build of PyTorch's index"
        uv pip install --quiet --compile-bytecode --torch-backend cpu "$torch"
    else
        say "torch: the package index's default build (on Linux this is the large one with CUDA; it works on a CPU too)"
    fi
    uv pip install --quiet --compile-bytecode "$torch"
}

install_rest() {
    uv pip install --quiet --compile-bytecode --require-hashes -r requirements/locked.txt || {
        say "the locked versions do not fit here; taking the ranges of pyproject.toml"
        uv pip install --quiet --compile-bytecode -e '.[dev]'
    }
    uv pip install --quiet --no-deps -e .
}

state() { { cksum pyproject.toml requirements/locked.txt tools/setup.sh; echo "$PWD"; } 2>/dev/null; }

stamp=$venv/setup-of
if [ -x "$venv/bin/pipeline" ] && [ "$(state)" = "$(cat "$stamp" 2>/dev/null)" ]; then
    exit 0
fi
make_venv
if [ ! -x "$venv/bin/uv" ]; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
fi
say "installing into .venv"
install_torch
install_rest
state >"$stamp"
say "done; try: make demo"
