"""What made an output: resolved options, inputs with hashes, code, versions, machine, jobs.

None of it is part of a key or of a root hash. The record of a step, `OUT/steps/<step>.json`, holds
it under "made"; a store keeps those of the steps behind each of its runs in
`STORE/records/<run_key>.json`, beside the sealed segments.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic_core import to_jsonable_python

import solarxai
from solarxai.errors import WorkflowError
from solarxai.provenance import code_hash, file_hash, versions, write_atomically
from solarxai.workflow.plan import STEPS, PathMeaning, Step, Workflow

__all__ = [
    "differences", "keep_record", "made_by", "note_job", "path_meaning", "read_record",
    "slurm_jobs", "step_records", "surroundings",
]  # fmt: skip

RECORDS = "records"

_JOB_WORDS = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_PARTITION",
    "SLURM_CLUSTER_NAME",
)  # fmt: skip
_THREAD_WORDS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LOG = re.compile(r"solarxai-.*-(\d+)\.(err|out)")


def made_by(step: Step, workflow: Workflow, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the record of a step says of how its output is made.

    Parameters
    ----------
    step, workflow
        What is about to be done.
    before
        The record of an interrupted attempt, or an empty one: its surroundings are kept, so that
        an output made here and there names both.
    """
    meanings = {name: path_meaning(hint) for name, hint in _hints(step).items()}
    inputs = {
        name: {"path": str(value), "sha256": file_hash(value)}
        for name, value in step.options.items()
        if isinstance(value, Path) and meanings.get(name) in ("bytes", "workflow")
    }
    now = surroundings()
    earlier = [one for one in before.get("made", {}).get("in", []) if one != now]
    return {
        "workflow": workflow.name,
        "seed": workflow.seed,
        "threads": workflow.threads,
        "cluster": {"kind": workflow.cluster.kind, **workflow.cluster.options},
        "workers": workflow.workers,
        "options": to_jsonable_python(dict(step.options)),
        "places": [name for name in step.options if meanings.get(name) == "place"],
        "inputs": inputs,
        "in": [*earlier, now],
    }


def path_meaning(hint: Any) -> str:
    """Return what a path of this type stands for: "bytes", "workflow", "place" or nothing."""
    for part in getattr(hint, "__metadata__", ()):
        if isinstance(part, PathMeaning):
            return part.kind
    return next((m for part in getattr(hint, "__args__", ()) if (m := path_meaning(part))), "")


def _hints(step: Step) -> dict[str, Any]:
    return get_type_hints(step.run, include_extras=True)


def surroundings() -> dict[str, Any]:
    """Return code, versions, machine, numerical flags and Slurm job of this process.

    No clock, but names of machines: nothing for a key.
    """
    jobs = {word.lower(): os.environ[word] for word in _JOB_WORDS if word in os.environ}
    return {
        "code": {"version": versions()["solarxai"], "hash": code_hash(), **_checkout()},
        "versions": {**versions(), **_packages()},
        "machine": {
            "node": platform.node(),
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
        "numerics": _numerics(),
        **({"slurm": jobs} if jobs else {}),
    }


def _numerics() -> dict[str, Any]:
    """Return the flags of torch on which the last bits of a sum depend."""
    return {
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "accelerators": [
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
        ],
        **{word.lower(): os.environ.get(word) for word in _THREAD_WORDS},
    }


@cache
def _packages() -> dict[str, str]:
    """Return the versions of everything that the library declares to need."""
    declared = importlib.metadata.requires("solarxai") or []
    names = [re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in declared if "extra ==" not in line]
    return {name: importlib.metadata.version(name) for name in names}


@cache
def _checkout() -> dict[str, Any]:
    """Return commit and whether files differ from it; nothing where the code is in no checkout."""
    root = Path(solarxai.__file__).parents[1]
    if _git(root, "ls-files", "solarxai/__init__.py") in (None, ""):
        return {"commit": None, "dirty": None}
    changed = _git(root, "status", "--porcelain", "--", "solarxai", "pipelines")
    dirty = None if changed is None else bool(changed)
    return {"commit": _git(root, "rev-parse", "HEAD"), "dirty": dirty}


def _git(root: Path, *words: str) -> str | None:
    try:
        told = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


@cache
def _processor() -> str:
    try:
        told = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        told = None
    return told[1] if told else platform.processor() or platform.machine()


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one line a fact in which two surroundings differ; Slurm jobs always do."""
    found = []
    for part in ("code", "versions", "machine", "numerics"):
        was, is_ = then.get(part, {}), now.get(part, {})
        found += [
            f"{part}: {name} was {was.get(name)}, is {is_.get(name)}"
            for name in sorted({*was, *is_})
            if was.get(name) != is_.get(name)
        ]
    return found


def note_job(out: Path) -> None:
    """Where this process is a job of Slurm, leave its number in the folder of the run."""
    job = surroundings().get("slurm", {})
    if job.get("slurm_job_id"):
        (out / "jobs").mkdir(exist_ok=True)
        path = out / "jobs" / f"job-{job['slurm_job_id']}.json"
        write_atomically(path, json.dumps(job, indent=1).encode())


def slurm_jobs(out: Path) -> list[str]:
    """Return the numbers of all Slurm jobs that worked on a run: drivers, workers, parts."""
    found = {
        one.get("slurm", {}).get("slurm_job_id")
        for record in step_records(out).values()
        for one in record["made"]["in"]
    }
    found |= {path.stem.removeprefix("job-") for path in out.glob("jobs/job-*.json")}
    found |= {told[1] for path in out.glob("jobs/solarxai-*") if (told := _LOG.match(path.name))}
    return sorted((one for one in found if one), key=lambda one: (len(one), one))


def step_records(out: Path) -> dict[str, dict[str, Any]]:
    """Return key, state, "made" and hashed files of each step that a run has begun, in order."""
    found = {}
    for name in STEPS:
        path = out / "steps" / f"{name}.json"
        record = json.loads(path.read_text()) if path.is_file() else {}
        if "made" in record:
            files = {n: f for n, f in record.get("files", {}).items() if "sha256" in f}
            found[name] = {**{k: record[k] for k in ("key", "state", "made")}, "files": files}
    return found


def keep_record(store: Path, run_key: str, *, out: Path, root: str) -> None:
    """Write beside the segments of a store how one of them was made, if the run's folder says it.

    Parameters
    ----------
    store
        Folder of the store.
    run_key
        The segment.
    out
        Folder of the run that made it.
    root
        Root hash of the segment.
    """
    steps = step_records(out)
    if "attribute" not in steps:
        return
    record = {"run": run_key, "root hash": root, "slurm jobs": slurm_jobs(out), "steps": steps}
    (store / RECORDS).mkdir(exist_ok=True)
    data = json.dumps(record, indent=1).encode()
    write_atomically(store / RECORDS / f"{run_key}.json", data)


def read_record(store: Path, run_key: str) -> dict[str, Any]:
    """Return what `keep_record` wrote of a run.

    Raises
    ------
    WorkflowError
        when there is none, or it cannot be read.
    """
    path = store / RECORDS / f"{run_key}.json"
    try:
        record = json.loads(path.read_text())
        _ = record["steps"]["attribute"]["made"], record["root hash"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkflowError(
            f"{path}: no record of how this run was made ({type(error).__name__})",
            remedy="Only runs that `solarxai run` or `solarxai attribute` finished have one.",
        ) from error
    return dict(record)
