#!/usr/bin/env bash
# Creates the virtual environment from requirements.lock: usage: deploy/venv.sh DIRECTORY
# It is installed anew only when the lock or pyproject.toml has changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="${1:?usage: deploy/venv.sh DIRECTORY}"
stamp="$venv/.installed"
wanted="$(cat requirements.lock pyproject.toml | cksum)"
fits='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'

if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    touch "$stamp"
    exit 0
fi

python=""
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c "$fits" 2>/dev/null; then
        python="$candidate"
        break
    fi
done
if [ -z "$python" ]; then
    echo "Rapport needs Python 3.11, 3.12 or 3.13 with its venv module, and found none on the PATH." >&2
    echo "Install one (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13)," >&2
    echo "or name it: make PYTHON=/path/to/python3.13 ..." >&2
    exit 1
fi

echo "Installing into $venv with $($python --version): about 1 GB the first time, two or three minutes ..."
if ! "$venv/bin/python" -c "$fits" 2>/dev/null; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)
# The lock is complete: without --no-deps pip looks for the newest version of what another package asks for with extras.
"${pip[@]}" install --no-deps --require-hashes -r requirements.lock
"${pip[@]}" install --no-deps --no-build-isolation -e .
echo "$wanted" >"$stamp"
