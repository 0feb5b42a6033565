#!/usr/bin/env bash
# Runs the suite in parts (tests/parts.py), each in a pytest process of its own whose output is shown when it ends: first one
# more at a time than there are cores, of which one mostly waits for its servers; then as many as there are cores, those with
# times to keep. Arguments are pytest's. Fails if any part fails, or if none has anything to run.
# Without arguments tests/domain by itself must cover every branch of shared/domain; nothing else is slowed by tracing.
# There loops run as they stand in the source, which a tracer sees; all other parts run them compiled.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
covered=()
[ $# -eq 0 ] && covered=(--cov=shared/domain --cov-branch --cov-fail-under=100)
unset PYTHONDONTWRITEBYTECODE # tests start some two hundred processes: they need not all compile the same modules

# On servers that somebody has named, tests of two processes would meet each other.
if [ -n "${RAPPORT_TEST_KAFKA:-}${RAPPORT_TEST_MONGO:-}" ]; then
    exec "$python" -m pytest ${covered[@]+"${covered[@]}"} "$@"
fi

NOTHING=5 # pytest's status where it selected no test
result=$NOTHING
running=() # PID:PART
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'for one in "${running[@]}"; do kill "${one%:*}" 2>/dev/null; done; exit 130' INT TERM

start() { # PART OPTIONS...
    local part=$1
    shift
    "$python" -m pytest -p tests.parts --part="$part" -o cache_dir=".pytest_cache/$part" "$@" \
        >"$logs/$part" 2>&1 </dev/null &
    running+=("$!:$part")
}

ended() { # PID PART: show what it said, and keep the first failure's status
    wait "$1"
    local status=$?
    if [ $status -eq $NOTHING ]; then return; fi
    echo "== $2:"
    cat "$logs/$2"
    if [ $result -eq 0 ] || [ $result -eq $NOTHING ]; then result=$status; fi
}

until_at_most() { # so many parts run
    local one left
    while [ ${#running[@]} -gt "$1" ]; do
        sleep 0.1
        left=()
        for one in "${running[@]}"; do
            if kill -0 "${one%:*}" 2>/dev/null; then left+=("$one"); else ended "${one%:*}" "${one#*:}"; fi
        done
        running=(${left[@]+"${left[@]}"})
    done
}

lanes=$(getconf _NPROCESSORS_ONLN)
if [ "$lanes" -lt 2 ]; then lanes=2; fi
for part in contracts rest scoring embedded domain; do
    until_at_most "$lanes"
    if [ $part = domain ]; then NUMBA_DISABLE_JIT=1 start $part ${covered[@]+"${covered[@]}"} "$@"; else start $part "$@"; fi
done
for part in e2e faults; do
    until_at_most $((lanes - 1))
    start $part "$@"
done
until_at_most 0
exit $result
