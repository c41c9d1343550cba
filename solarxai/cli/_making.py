"""Commands that make something: whole workflows, and their steps alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from solarxai.cli._application import app, synth_app
from solarxai.cli._telling import follow, print_rows
from solarxai.cli._words import (
    AsJson,
    ClusterName,
    Out,
    OutOption,
    Resume,
    Settings,
    Workers,
    WorkflowPath,
    fraction,
    typed_options,
)

if TYPE_CHECKING:
    from solarxai.workflow import Workflow

__all__ = [
    "attention",
    "attribute",
    "classifier",
    "ingest",
    "ingest_iris",
    "plan",
    "run",
    "skill",
    "synth_hmi",
    "synth_iris",
    "train",
    "work",
]


class _StageCommand(TyperCommand):
    """A command whose options are those of a pipeline: `--help` reads them from its signature."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, then the options of the pipeline."""
        from solarxai.workflow import describe_options

        super().format_help(ctx, formatter)
        typer.echo(" Options of the step, as in a workflow file:\n")
        for line in describe_options(_STEP.get(str(ctx.info_name), str(ctx.info_name))):
            typer.echo(f"   {line}")


_STEP = {"hmi": "synth", "iris": "synth_iris", "ingest-iris": "ingest_iris"}
"""The step behind a command of another name."""

_STAGE = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command()
def run(
    workflow: WorkflowPath,
    out: OutOption = None,
    cluster: ClusterName = None,
    workers: Workers = None,
    resume: Resume = False,
    settings: Settings = None,
) -> None:
    """Carry out a workflow; what is there already is kept, so repeating it does nothing.

    **Example**: `solarxai run workflows/quickstart.yaml --out runs/demo --set train.epochs=5`
    """
    from solarxai.workflow import load

    chosen = _placed(load(workflow, settings=settings or ()), cluster, workers)
    _carry_out(chosen, out or Path("runs") / chosen.name, resume=resume)


@app.command()
def plan(
    workflow: WorkflowPath,
    out: OutOption = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Check a workflow and tell, step by step, what a run would do; nothing is run.

    **Example**: `solarxai plan workflows/sunspot_pore.yaml`
    """
    from solarxai.workflow import execution, load

    chosen = load(workflow, settings=settings or ())
    steps = execution.plan(chosen, out=out or Path("runs") / chosen.name)
    rows = [
        {"step": item.step.name, "key": item.key[:12], "state": item.state, "reason": item.reason}
        for item in steps
    ]
    print_rows(rows, as_json=as_json)


@synth_app.command("hmi", cls=_StageCommand, context_settings=_STAGE)
def synth_hmi(ctx: typer.Context, out: Out, cluster: ClusterName = None) -> None:
    """Write HMI-like FITS files, their truth and a catalog to OUT/data.

    **Example**: `solarxai synth hmi runs/mine --n 50 --mode matched --seed 1`
    """
    _stage("synth", ctx, out, cluster)


@app.command(cls=_StageCommand, context_settings=_STAGE)
def ingest(ctx: typer.Context, out: Out, cluster: ClusterName = None) -> None:
    """Cut samples from the files of a catalog, or of the `synth` before it, to OUT/samples.

    **Example**: `solarxai ingest runs/mine --catalog data_catalogs/mine.yaml --on_error skip`
    """
    _stage("ingest", ctx, out, cluster)


@synth_app.command("iris", cls=_StageCommand, context_settings=_STAGE)
def synth_iris(ctx: typer.Context, out: Out, cluster: ClusterName = None) -> None:
    """Write IRIS-like level-2 files, their truth, a flare list and a catalog to OUT/data.

    **Example**: `solarxai synth iris runs/mine --regions 24 --seed 1`
    """
    _stage("synth_iris", ctx, out, cluster)


@app.command("ingest-iris", cls=_StageCommand, context_settings=_STAGE)
def ingest_iris(ctx: typer.Context, out: Out, cluster: ClusterName = None) -> None:
    """Cut labelled spectrograms from the rasters of a catalog, to OUT/samples.

    **Example**: `solarxai ingest-iris runs/mine --catalog data_catalogs/iris_ar12017.yaml
    --flares swpc.csv --labels '{window: 35, threshold: M1.0}'`
    """
    _stage("ingest_iris", ctx, out, cluster)


@app.command(cls=_StageCommand, context_settings=_STAGE)
def skill(ctx: typer.Context, out: Out) -> None:
    """Score a network on OUT/samples on folds of regions and on splits that leak, to OUT/skill.

    **Example**: `solarxai skill runs/mine --folds 5 --train '{model: published_cnn, epochs: 10}'`
    """
    _stage("skill", ctx, out, None)


@app.command(cls=_StageCommand, context_settings=_STAGE)
def attention(ctx: typer.Context, out: Out) -> None:
    """Gather what the maps of spectra in OUT/store say together, as the page OUT/attention.

    **Example**: `solarxai attention runs/mine --quantity positive --within_arcsec 5`
    """
    _stage("attention", ctx, out, None)


@app.command(cls=_StageCommand, context_settings=_STAGE)
def train(ctx: typer.Context, out: Out) -> None:
    """Train a classifier on OUT/samples, split by active region, to OUT/classifier.safetensors.

    **Example**: `solarxai train runs/mine --epochs 20 --learning_rate 1e-3`
    """
    _stage("train", ctx, out, None)


@app.command(cls=_StageCommand, context_settings=_STAGE)
def classifier(ctx: typer.Context, out: Out) -> None:
    """Take a classifier from a checkpoint, from your own module, or from another workflow.

    **Example**: `solarxai classifier runs/mine --network mine:Net --weights net.pt --contract
    '{shape: [64, 64], scale_mm: 0.5}'`
    """
    _stage("classifier", ctx, out, None)


@app.command(cls=_StageCommand, context_settings=_STAGE)
def attribute(ctx: typer.Context, out: Out, cluster: ClusterName = None) -> None:
    """Attribute the samples of OUT with its classifier, to OUT/store.

    **Example**: `solarxai attribute runs/mine --explainers '[{method: hires_cam}]' --split all`
    """
    _stage("attribute", ctx, out, cluster)


@app.command()
def work(
    out: Out,
    part: Annotated[str, typer.Option(help="Which part of how many, as 0/8.")],
) -> None:
    """Do one part of the units that `solarxai run --cluster array` has written down in OUT.

    **Example**: `solarxai work runs/mine --part 3/8`
    """
    from solarxai.workflow.memory import memory_of_job
    from solarxai.workflow.orders import do_part
    from solarxai.workflow.record import note_job

    number, parts = fraction(part, "--part")
    made = do_part(
        out / "work", part=number, of=parts, progress=follow(None), memory=memory_of_job()
    )
    note_job(out)
    typer.echo(f"{made.done} done, {made.skipped} there already, {made.failed} failed")
    if made.failed:
        raise typer.Exit(2)


def _stage(name: str, ctx: typer.Context, out: Path, cluster: str | None) -> None:
    """Run one step alone; what stands behind `--` on the line are its options."""
    from solarxai.workflow import single_step

    options = typed_options(ctx.args)
    threads = options.pop("threads", 1)
    chosen = single_step(name, options, seed=options.get("seed", 0), threads=threads)
    _carry_out(_placed(chosen, cluster, None), out, resume=True)


def _placed(workflow: Workflow, cluster: str | None, workers: int | None) -> Workflow:
    from dataclasses import replace

    from solarxai.workflow import spelled_placement

    beside = workflow.cluster
    return replace(
        workflow,
        cluster=beside if cluster is None else spelled_placement(cluster, beside=beside),
        workers=workflow.workers if workers is None else workers,
    )


def _carry_out(workflow: Workflow, out: Path, *, resume: bool) -> None:
    import os

    from solarxai.workflow import make_cluster
    from solarxai.workflow.execution import execute, join
    from solarxai.workflow.summary import describe_results

    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and os.environ.get("RANK", "0") != "0":
        join(workflow, out=out)
        return
    cluster = make_cluster(workflow.cluster, workers=workflow.workers, folder=out)
    progress = follow(out)
    try:
        results = execute(workflow, out=out, cluster=cluster, progress=progress, resume=resume)
    finally:
        cluster.close()
    typer.echo(describe_results(results, progress.stages, out=out))
