#!/bin/bash
# A workflow on a cluster without a scheduler of our own: `sbatch` alone. Edit the options below, then
#
#     bash workflows/slurm_array.sh workflows/sunspot_pore.yaml runs/sunspot_pore 16
#
# on a login node (in tmux, or with nohup), where this script does nothing but wait. A driver job
# takes the steps that cannot be divided and writes down the units of the next one; an array of
# PARTS jobs does them; again, until the run is done and its store sealed. Killed anywhere, type the
# same command again. OUT must be on a file system that the nodes share.
set -uo pipefail
WORKFLOW=${1:?usage: slurm_array.sh WORKFLOW OUT PARTS}
OUT=${2:?usage: slurm_array.sh WORKFLOW OUT PARTS}
PARTS=${3:?usage: slurm_array.sh WORKFLOW OUT PARTS}
SOLARXAI=${SOLARXAI:-solarxai}        # or its full path: .venv/bin/solarxai

# sbatch options of every job, of the driver (it trains), and of each part of the array
COMMON=(--time=01:00:00 --no-requeue)  # --partition=... --account=...
DRIVER=(--cpus-per-task=2 --mem=3G)
PART=(--cpus-per-task=1 --mem=1G)      # %8 behind --array below bounds how many run at a time

export MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-536870912}
export MALLOC_MMAP_THRESHOLD_=${MALLOC_MMAP_THRESHOLD_:-536870912}

LOGS=$OUT.jobs                         # beside the run: its folder is made by the driver
LOOK=${LOOK:-10}                       # seconds between two looks at the queue
mkdir -p "$LOGS"

# `sbatch --wait` looks only every half minute.
submit_and_wait() {
  local job queued
  job=$(sbatch --parsable "$@") || return 1
  while sleep "$LOOK"; do
    if queued=$(squeue --noheader --jobs="${job%%;*}" 2>&1); then
      [ -z "$queued" ] && return
    elif [[ $queued == *"Invalid job id"* ]]; then
      return                           # ended, and forgotten by Slurm
    fi                                 # else the controller did not answer: look again
  done
}

before=-
while true; do
  rm -f "$LOGS/driver.code"
  submit_and_wait "${COMMON[@]}" "${DRIVER[@]}" --job-name=solarxai --output="$LOGS/driver.log" \
    --wrap "$SOLARXAI run '$WORKFLOW' --out '$OUT' --cluster array; echo \$? > '$LOGS/driver.code'"
  for _ in 1 2 3 4; do                 # a shared file system may show a file late
    [ -e "$LOGS/driver.code" ] && break
    ls "$LOGS" >/dev/null; sleep "$LOOK"
  done
  code=$(cat "$LOGS/driver.code" 2>/dev/null || echo 1)  # 3: units wait to be done
  if [ $code -ne 3 ]; then
    if [ $code -eq 0 ]; then cat "$LOGS/driver.log"; else tail -n 20 "$LOGS/driver.log" >&2; fi
    exit $code
  fi
  waiting=$(cksum < "$OUT/work/order.pickle")
  if [ "$waiting" = "$before" ]; then
    echo "no unit was done by the last array; the last lines of its first log:" >&2
    tail -n 20 "$LOGS/part-0.log" >&2
    tail -n 3 "$LOGS/driver.log" >&2   # names a unit that ended its part, out of memory or time
    exit 1
  fi
  before=$waiting
  echo "$(date +%FT%T) $(cat "$OUT/work/waiting") units in $PARTS parts" >&2
  submit_and_wait "${COMMON[@]}" "${PART[@]}" --job-name=solarxai-part \
    --array="0-$((PARTS - 1))" --output="$LOGS/part-%a.log" \
    --wrap "exec $SOLARXAI work '$OUT' --part \$SLURM_ARRAY_TASK_ID/$PARTS"
done
