#!/usr/bin/env bash
# Tests parallel.sh and array.sbatch on one machine, with GNU parallel and with Debian's Slurm (one node, two fake GPUs). A task of each is
# killed and resumed; the merged reports must be complete, and the pictures equal those of an uninterrupted run.
#
#     examples/scale/rehearse.sh [FOLDER]        as root, or with slurm-wlm, munge and parallel installed
#
# MODEL: the model (default: the tests' tiny model). OPTIONS: further options of `dragnext batch`. PROGRAM: an existing build of dragnext.
set -euo pipefail
# No run may use results of another one.
export DRAGNEXT_CACHE_LIMIT=0
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
say() { echo "== $*"; }

for tool in parallel:parallel sbatch:slurm-wlm munge:munge; do
  command -v "${tool%%:*}" >/dev/null && continue
  [ "$(id -u)" = 0 ] || { echo "${tool##*:} is not installed" >&2; exit 75; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge parallel >"$work/apt.log" 2>&1
done

if [ -z "${PROGRAM:-}" ]; then
  cargo build --release --manifest-path "$root/Cargo.toml"
  PROGRAM=${CARGO_TARGET_DIR:-$root/target}/release/dragnext
fi
mkdir -p "$work/bin"
cp "$PROGRAM" "$work/bin/dragnext"
export PATH=$work/bin:$PATH RAYON_NUM_THREADS=1 DRAGNEXT_MODEL=${MODEL:-$root/tests/fixtures/tiny}
# Long enough for a task to be killed while it runs.
export OPTIONS=${OPTIONS:---strength 0.3 --iterations 10 --lora-steps 10 --lora-rank 4}

# Every example with two seeds.
for edit in "$root"/examples/edits/*/; do
  name=$(basename "$edit")
  mkdir -p "$work/pictures/$name"
  cp "$edit/input.png" "$edit/drag.json" "$work/pictures/$name/"
  for seed in 1 2; do
    printf '{"id":"%s-%s","image":"pictures/%s/input.png","drag":"pictures/%s/drag.json","out":"%s-%s.png","settings":{"seed":%s}}\n' \
      "$name" "$seed" "$name" "$name" "$name" "$seed" "$seed"
  done
done >"$work/items.jsonl"
items=$(wc -l <"$work/items.jsonl")
cd "$work"

say "one uninterrupted run of $items items"
# shellcheck disable=SC2086 # options are words
dragnext batch --manifest items.jsonl -o alone --device cpu --quiet $OPTIONS

# Waits until a shard has written a record, which shows that it is running.
wait_for_record() {
  for _ in $(seq 600); do
    [ -s "$1/records/$2.jsonl" ] && return
    sleep 0.1
  done
  echo "shard $2 of $1 did not start" >&2
  exit 1
}
# Checks that the merged report is complete, and that the pictures equal those of the uninterrupted run.
check() {
  dragnext report merge "$1"/records/*.jsonl --manifest items.jsonl --sheet "$1.sheet.png" --overwrite
  for picture in alone/*.png; do
    cmp "$picture" "$1/$(basename "$picture")"
  done
  say "$1: $(ls "$1"/*.png | wc -l) pictures, equal bytes"
}

say "GNU parallel, two shards; shard 1 is killed with SIGKILL"
# shellcheck disable=SC2086
GPUS=2 DEVICE=cpu WAIT=1 "$root/examples/scale/parallel.sh" items.jsonl parallel $OPTIONS >parallel.log 2>&1 &
running=$!
wait_for_record parallel 1-of-2
victim=$(pgrep -f -- '-o parallel .*--shard 1/2|--shard 1/2 .*-o parallel' | while read -r pid; do
  case $(cat "/proc/$pid/comm") in dragnext*) echo "$pid" && break ;; esac
done)
kill -KILL "$victim"
wait "$running" || { cat parallel.log; exit 1; }
grep -q 'shard 1/2 ended with 137' parallel.log || { echo "the kill did not happen" >&2; exit 1; }
cat parallel.joblog
check parallel

say "Slurm, an array of two tasks with a GPU each; task 1 is requeued while it runs"
daemons=()
trap 'kill "${daemons[@]}" 2>/dev/null || true' EXIT
if ! munge -n >/dev/null 2>&1; then
  mkdir -p /run/munge && chown munge: /run/munge
  runuser -u munge -- munged --foreground &
  daemons+=($!)
  sleep 1
fi
host=$(hostname -s)
mkdir -p state spool
cat >slurm.conf <<END
ClusterName=rehearsal
SlurmctldHost=$host
SlurmUser=$(id -un)
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
KillWait=30
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc=$work/jobs.log
NodeName=$host CPUs=$(nproc) Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
END
# Two device files that stand for GPUs.
for gpu in 0 1; do
  [ -e "gpu$gpu" ] || mknod "gpu$gpu" c 1 3
done
echo "NodeName=$host Name=gpu File=$work/gpu[0-1]" >gres.conf
export SLURM_CONF=$work/slurm.conf
slurmctld -D >slurmctld.out 2>&1 &
daemons+=($!)
slurmd -D >slurmd.out 2>&1 &
daemons+=($!)
for _ in $(seq 60); do
  [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
  sleep 1
done
sinfo --format='%N %T %G'
[ "$(sinfo --noheader --format=%T)" = idle ] || { cat slurmctld.log slurmd.log; exit 1; }

export MANIFEST=items.jsonl OUT=slurm DEVICE=cpu
job=$(sbatch --parsable --array=0-1 --cpus-per-task=1 --mem=0 "$root/examples/scale/array.sbatch")
wait_for_record slurm 1-of-2
scontrol requeue "${job}_1"
for _ in $(seq 600); do
  [ -z "$(squeue --noheader)" ] && break
  sleep 1
done
cat jobs.log
grep -h 'ended with' dragnext-"$job"_*.log
grep -q 'shard 1 ended with 0 (restart 1)' dragnext-"$job"_1.log || { echo "the requeue did not happen" >&2; exit 1; }
check slurm
say "complete"
