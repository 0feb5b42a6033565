#!/usr/bin/env bash
# Runs the suite: tests that mostly wait (tests/parts.py names them) in a second pytest process beside the rest, whose
# output comes first. Arguments are pytest's. Fails if either fails, or if neither has anything to run.
# Without arguments every branch of shared/domain must be covered, by the first process alone.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
covered=()
[ $# -eq 0 ] && covered=(--cov=shared/domain --cov-branch --cov-fail-under=100)

# On servers that somebody has named, tests of both processes would meet each other.
if [ -n "${RAPPORT_TEST_KAFKA:-}${RAPPORT_TEST_MONGO:-}" ]; then
    exec "$python" -m pytest "${covered[@]}" "$@"
fi

NOTHING=5 # pytest's status where it selected no test
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$python" -m pytest -p tests.parts --part=waiting -o cache_dir=.pytest_cache/waiting "$@" >"$log" 2>&1 </dev/null &
waiting=$!
trap 'kill "$waiting" 2>/dev/null; exit 130' INT TERM
"$python" -m pytest -p tests.parts --part=busy "${covered[@]}" "$@"
busy_status=$?
echo
echo "== beside these, tests that mostly wait:"
wait "$waiting"
waiting_status=$?
cat "$log"

if [ $busy_status -eq $NOTHING ]; then exit $waiting_status; fi
if [ $waiting_status -eq $NOTHING ] || [ $busy_status -ne 0 ]; then exit $busy_status; fi
exit $waiting_status
