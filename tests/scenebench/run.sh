#!/usr/bin/env bash
# Runs a suite of SceneBench through the program and scores it:
#   tests/scenebench/run.sh OUT_DIR [SUITE] [-- FLAGS OF dragnext edit ...]
# SUITE is a folder; the default is the plain suite. JOBS=2 runs two cases at a time (the seconds in the records are then those of shared cores).
# Needs Python with numpy and Pillow for the scores. Cases that are done already are kept, so a run that was cut off goes on.
set -euo pipefail
# The times in the records are those of whole edits.
export DRAGNEXT_CACHE_LIMIT=0
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?a folder for the edits}; shift
suite=$here/suite
if [ $# -gt 0 ] && [ "$1" != -- ]; then suite=$1; shift; fi
[ "${1:-}" != -- ] || shift
export PROGRAM=${DRAGNEXT:-$here/../../target/release/dragnext} OUT=$out
mkdir -p "$out"

# Edits one case; a record is appended in one piece, since several cases may run at a time.
edit() {
  local case=$1 record; shift
  record=$("$PROGRAM" edit "$case/input.png" --drag "$case/drag.json" -o "$OUT/$(basename "$case").png" --model demo --quiet --json "$@" < /dev/null)
  printf '%s\n' "$record" >> "$OUT/records.jsonl"
}
export -f edit

for case in "$suite"/*/; do
  [ -e "$out/$(basename "$case").png" ] || printf '%s\0' "${case%/}"
done | xargs -0 -r -P "${JOBS:-1}" -I CASE bash -euo pipefail -c 'edit "$@"' edit CASE "$@"
"${PYTHON:-python3}" "$here/score.py" "$suite" "$out"
