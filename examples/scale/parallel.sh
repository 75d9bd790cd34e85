#!/usr/bin/env bash
# All GPUs of one machine: as many shards as there are GPUs, each on its own, with GNU parallel.
#
#     examples/scale/parallel.sh items.jsonl OUT [options of `dragnext batch`]
#
# GPUS is the number of GPUs (default: what nvidia-smi lists), DEVICE what a shard computes on with {} for its number (default: cuda:{}).
set -euo pipefail
manifest=$1 out=$2
shift 2
gpus=${GPUS:-$(nvidia-smi --list-gpus | wc -l)}
device=${DEVICE:-cuda:{\}}

# A shard that could not run now (75) or was killed (137, by the system when memory ends) is run again, up to three times in all; what it did
# until then is skipped.
shard() {
  local number=$1 shards=$2 attempt status
  shift 2
  for attempt in 1 2 3; do
    status=0
    dragnext batch "$@" --shard "$number/$shards" --quiet || status=$?
    case $status in 75 | 137) ;; *) return "$status" ;; esac
    echo "shard $number/$shards ended with $status (attempt $attempt)" >&2
    sleep "${WAIT:-30}"
  done
  return "$status"
}
export -f shard

# The job log says when each shard ran and how it ended. A shard that fails does not stop the others.
status=0
seq 0 $((gpus - 1)) | parallel --jobs "$gpus" --line-buffer --tag --joblog "$out.joblog" \
  shard {} "$gpus" --manifest "$manifest" -o "$out" --device "$device" "$@" || status=$?
echo "parallel: $status shards did not end well" >&2

# The merged report decides: 0 when every item is done.
exec dragnext report merge "$out"/records/*.jsonl --manifest "$manifest"
