"""A classifier that is not trained on the samples of this run: from a file, or from another run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pipelines.cluster import PlainLoop
from solarxai.classifier import Classifier
from solarxai.provenance import write_atomically
from solarxai.workflow import Cluster, InputFile, Outcome, WorkflowFile, load, sound
from solarxai.workflow.execution import Result, execute
from solarxai.workflow.file import read_tree
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "complaints", "run"]

OUTPUTS = ("classifier.safetensors",)

CheckpointFile = Annotated[InputFile, sound(Classifier.load)]


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between the options: a classifier comes from one place."""
    sources = [name for name in ("checkpoint", "network", "workflow") if options[name] is not None]
    if len(sources) != 1:
        given = " and ".join(sources) or "none"
        return [f"give one of checkpoint, network and workflow, not {given}"]
    own = [name for name in ("weights", "contract") if options[name] is None]
    if sources == ["network"] and own:
        return [f"a network needs {' and '.join(own)} beside it"]
    if sources == ["workflow"]:
        steps = read_tree(options["workflow"])
        if "train" not in steps or "classifier" in steps:
            return [f"the workflow {options['workflow'].name} does not train a classifier"]
    return []


def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    checkpoint: CheckpointFile | None = None,
    network: str | None = None,
    weights: InputFile | None = None,
    contract: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    workflow: WorkflowFile | None = None,
) -> Outcome:
    """Write `out/classifier.safetensors`, and tell where it comes from.

    Parameters
    ----------
    out
        Folder of the run.
    cluster, progress
        Where units of the other workflow run, and who follows.
    threads
        Not used: the other workflow states its own.
    checkpoint
        A file that `solarxai train` wrote.
    network, weights, contract, options
        Your own network: import path "package.module:Class", state dict, fields of
        `solarxai.classifier.InputContract`, and keyword arguments of the class.
    workflow
        Another workflow, carried out to its `train` in `out/classifier/` unless it is there.

    Raises
    ------
    ContractError
        when network, weights and contract do not fit.
    """
    del threads
    path = out / "classifier.safetensors"
    results: tuple[Result, ...] = ()
    if checkpoint is not None:
        write_atomically(path, checkpoint.read_bytes())
    elif network is not None and weights is not None:
        made = Classifier.from_import(
            network=network, weights=weights, contract=contract or {}, options=options
        )
        made.save(path)
    elif workflow is not None:
        results = _trained_elsewhere(workflow, out, cluster or PlainLoop(), progress or Progress())
        write_atomically(path, (out / "classifier" / path.name).read_bytes())
    figures = dict(results[-1].outcome.figures) if results else {}
    return Outcome(
        outputs=(path,), done=1, figures={**figures, "classifier": Classifier.load(path).hash[:16]}
    )


def _trained_elsewhere(
    workflow: Path, out: Path, cluster: Cluster, progress: Progress
) -> tuple[Result, ...]:
    return execute(
        load(workflow),
        out=out / "classifier",
        cluster=cluster,
        progress=progress,
        resume=True,
        until="train",
    )
