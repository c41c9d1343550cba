#!/bin/bash
# The driver of a run as a job of its own, where nothing may compute on login nodes. It trains, and
# submits, replaces and cancels the worker jobs. Edit the lines below, then
#
#     sbatch workflows/slurm_driver.sh workflows/sunspot_pore.yaml runs/sunspot_pore
#
# Killed anywhere (its walltime too), submit it again: what is done is kept. Compute nodes must be
# allowed to submit jobs; where they are not, run the last line on a login node (in tmux), or take
# workflows/slurm_array.sh.
#SBATCH --job-name=solarxai
#SBATCH --time=2-00:00:00
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --output=solarxai-%j.log
##SBATCH --partition=long
##SBATCH --account=sun
set -euo pipefail
WORKFLOW=${1:?usage: sbatch slurm_driver.sh WORKFLOW OUT}
OUT=${2:?usage: sbatch slurm_driver.sh WORKFLOW OUT}

# module load python/3.11
source .venv/bin/activate

# Of each worker job; a workflow file may say the same below `cluster:`.
CLUSTER='{kind: slurm, walltime: "04:00:00", memory: 4GB, maximum: 32, prologue: []}'

exec solarxai run "$WORKFLOW" --out "$OUT" --cluster "$CLUSTER"
