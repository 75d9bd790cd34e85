#!/usr/bin/env bash
# Runs SceneBench's suite through the program and scores it:
#   tests/scenebench/run.sh OUT_DIR [SUITE] [-- FLAGS OF dragnext edit ...]
# Needs Python with numpy and Pillow for the scores. Cases that are done already are kept, so a run that was cut off goes on.
set -euo pipefail
# The times in the records are those of whole edits.
export DRAGNEXT_CACHE_LIMIT=0
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?a folder for the edits}; shift
suite=$here/suite
if [ $# -gt 0 ] && [ "$1" != -- ]; then suite=$1; shift; fi
[ "${1:-}" != -- ] || shift
program=${DRAGNEXT:-$here/../../target/release/dragnext}
mkdir -p "$out"
for case in "$suite"/*/; do
  name=$(basename "$case")
  [ -e "$out/$name.png" ] && continue
  "$program" edit "$case/input.png" --drag "$case/drag.json" -o "$out/$name.png" --model demo --quiet --json "$@" >> "$out/records.jsonl"
done
"${PYTHON:-python3}" "$here/score.py" "$suite" "$out"
