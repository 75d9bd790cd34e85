#!/usr/bin/env bash
# All GPUs of one machine: one shard per GPU, through GNU parallel.
#
#     examples/scale/parallel.sh items.jsonl OUT [options of `dragnext batch`]
#
# GPUS: number of GPUs (default: those that nvidia-smi lists). DEVICE: device of a shard, with {} for its number (default: cuda:{}).
set -euo pipefail
manifest=$1 out=$2
shift 2
gpus=${GPUS:-$(nvidia-smi --list-gpus | wc -l)}
device=${DEVICE:-cuda:{\}}

# A shard that failed temporarily (75) or was killed (137, for example for lack of memory) runs again, at most three times in all. Items that
# are done are skipped.
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

# The job log has start time and exit status of each shard. A shard that fails does not stop the others.
status=0
seq 0 $((gpus - 1)) | parallel --jobs "$gpus" --line-buffer --tag --joblog "$out.joblog" \
  shard {} "$gpus" --manifest "$manifest" -o "$out" --device "$device" "$@" || status=$?
echo "parallel: $status shards failed" >&2

# The merged report decides: exit status 0 if all items are done.
exec dragnext report merge "$out"/records/*.jsonl --manifest "$manifest"
