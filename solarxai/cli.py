"""The command line: words in, results out; everything heavy is imported when it is needed.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 a check
fails, 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from solarxai.workflow import Workflow
    from solarxai.workflow.progress import Progress

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="""
Saliency maps for solar-physics networks: with coordinates, error bars, and a verdict.

From FITS files to a verdict with one command:

    solarxai run workflows/quickstart.yaml --out runs/demo

Then ask the store:

    solarxai query runs/demo/store --nearest 2014-03-29T14:07:30
    solarxai validate runs/demo/store

`--debug`, anywhere on the line, shows where in the code an error came from.
""",
)
synth_app = typer.Typer(no_args_is_help=True, help="Draw a synthetic Sun, as FITS with its truth.")
catalog_app = typer.Typer(no_args_is_help=True, help="Check a catalog of files, or build one.")
app.add_typer(synth_app, name="synth")
app.add_typer(catalog_app, name="catalog")

Out = Annotated[Path, typer.Argument(help="Folder of the run, made if absent.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder of the run [runs/NAME].")]
WorkflowPath = Annotated[
    Path, typer.Argument(help="A workflow, such as workflows/quickstart.yaml.")
]
StorePath = Annotated[Path, typer.Argument(help="A store, such as runs/demo/store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ClusterName = Annotated[
    str | None, typer.Option("--cluster", help="Where units of work run: none or local.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes of the cluster.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on in a folder made with other options or other code: make again what differs. "
        "An interrupted run of the same workflow goes on without it.",
    ),
]
Methods = Annotated[
    list[str] | None, typer.Option("--method", help="A method [all]; may be repeated.")
]
RunKey = Annotated[str | None, typer.Option("--run", help="First letters of a run's key.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one option, as step.option=value; may be repeated."),
]


class _StageCommand(TyperCommand):
    """A command whose options are those of a pipeline: `--help` reads them from its signature."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, then the options of the pipeline."""
        from solarxai.workflow import describe_options

        super().format_help(ctx, formatter)
        typer.echo(" Options of the step, as in a workflow file:\n")
        for line in describe_options("synth" if ctx.info_name == "hmi" else str(ctx.info_name)):
            typer.echo(f"   {line}")


_INTERRUPTED = 130
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
    _print_rows(rows, as_json=as_json)


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
def query(
    store: StorePath,
    time: Annotated[str | None, typer.Option(help="From/to in UTC: A/B, A/ or /B.")] = None,
    nearest: Annotated[str | None, typer.Option(help="A time in UTC; the nearest row.")] = None,
    method: Methods = None,
    label: Annotated[str | None, typer.Option(help="sunspot, pore or ambiguous.")] = None,
    region: Annotated[str | None, typer.Option(help="An active region, as stored.")] = None,
    origin: Annotated[str | None, typer.Option(help="real or synthetic.")] = None,
    score: Annotated[str | None, typer.Option(help="Of the sunspot score: LOW/HIGH.")] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test.")] = None,
    run_key: RunKey = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write out.zarr, out.nc, or a folder of FITS files."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find saliency maps by time, label, region or score; print their rows, or write them out.

    **Examples**:
    `solarxai query runs/demo/store --time 2014-03-29T14:00/2014-03-29T15:00 --label sunspot`,
    `solarxai query runs/demo/store --nearest 2014-03-29T14:07 -o maps/`
    """
    from solarxai.query import open_store

    opened = open_store(store)
    found = opened.query(
        time=_between(time, "--time", str),
        nearest=nearest,
        methods=method,
        label=label,
        region=region,
        origin=origin,
        score=_scores(score),
        split=split,
        run=run_key,
    )
    if output is not None:
        typer.echo(f"{opened.export(found, output)}: {found.sizes['sample']} samples")
        return
    columns = ("time", "label", "predicted", "score", "region", "split", "sample_id")
    kept = [name for name in columns if name in found.variables]
    table = found[kept].to_dataframe().reset_index(drop=True)[kept]
    _print_rows([dict(row) for _, row in table.iterrows()], as_json=as_json)


@app.command()
def validate(
    store: StorePath,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a page with figures: index.html, report.json.")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Methods to test; may be repeated.")
    ] = None,
    run_key: RunKey = None,
    as_json: AsJson = False,
) -> None:
    """Test what the maps of a store mean; exit 0 if all checks hold, 1 if one fails, 2 if unable.

    **Example**: `solarxai validate runs/demo/store --json`
    """
    from solarxai import validation
    from solarxai.query import open_store

    opened = open_store(store)
    chosen: dict[str, Any] = {"methods": method, "run": run_key}
    with _progress(None).stage("validate", unit="checks") as stage:
        made = validation.validate(opened, progress=stage.reach, **chosen)
    if report is not None:
        from solarxai.page import write_page

        samples = validation.stored_samples(opened, **chosen)
        report.mkdir(parents=True, exist_ok=True)
        classifier = validation.load_classifier(opened, samples.attrs["runs"])
        write_page(made, samples, classifier, report / "index.html")
        (report / "report.json").write_text(made.to_json())
    typer.echo(made.to_json() if as_json else made.text(), nl=False)
    raise typer.Exit(made.exit_code)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="A method; all of them if absent.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the attribution methods with their options and references.

    **Example**: `solarxai methods expected_gradients`
    """
    import json

    import solarxai

    found = solarxai.list_methods(name)
    if as_json:
        typer.echo(json.dumps(found, indent=1, default=str))
        return
    typer.echo(found)


@app.command()
def verify(store: StorePath) -> None:
    """Compute every hash of a store again and compare it with the ledger; print the root hash.

    **Example**: `solarxai verify runs/demo/store`
    """
    from solarxai.query import open_store

    opened = open_store(store)
    findings = opened.verify()
    for finding in findings:
        typer.echo(str(finding))
    if any(finding.problem != "unfinished" for finding in findings):
        raise typer.Exit(1)
    if findings:
        typer.echo(f"{store}: what is written is sound; the run has to go on")
    else:
        typer.echo(f"{store}: every shard is what was written\nroot hash {opened.root_hash()}")


@catalog_app.command("check")
def catalog_check(
    path: Annotated[Path, typer.Argument(help="A catalog, such as data_catalogs/mine.yaml.")],
    fill: Annotated[
        bool, typer.Option("--fill", help="First write the checksums that the catalog lacks.")
    ] = False,
) -> None:
    """Compare every file of a catalog with its checksum; exit 1 if one is missing or differs.

    **Example**: `solarxai catalog check runs/demo/data/catalog.yaml`
    """
    from solarxai.catalog import Catalog

    catalog = Catalog.load(path)
    if fill:
        catalog = catalog.with_checksums()
        catalog.save(path)
    problems = catalog.problems()
    for problem in problems:
        typer.echo(problem)
    typer.echo(f"{catalog.name}: {len(catalog.references)} files, {len(problems)} problems")
    raise typer.Exit(bool(problems))


@catalog_app.command("fido")
def catalog_fido(
    time: Annotated[str, typer.Option(help="From/to in UTC: A/B.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The catalog to write.")],
    instrument: Annotated[str, typer.Option(help="As the archives call it.")] = "hmi",
    physobs: Annotated[str, typer.Option(help="As the archives call it.")] = "intensity",
    region: Annotated[str | None, typer.Option(help='Such as "NOAA 11158".')] = None,
) -> None:
    """Search the archives with Fido (over the network) and write what it finds as a catalog.

    **Example**: `solarxai catalog fido --time 2011-02-15T01:00/2011-02-15T02:00 --region
    "NOAA 11158" -o data_catalogs/mine.yaml`
    """
    from solarxai.errors import CatalogError
    from solarxai.fido import catalog_from_fido, search_fido

    first, last = _between(time, "--time", str) or ("", "")
    if not first or not last:
        raise CatalogError(f"--time {time!r} is not A/B", remedy="Give both ends.")
    table = search_fido((first, last), instrument=instrument, physobs=physobs)
    catalog = catalog_from_fido(table, name=output.stem, folder=output.parent, region=region)
    catalog.save(output)
    typer.echo(f"{output}: {len(catalog.references)} files; when they are fetched, type")
    typer.echo(f"solarxai catalog check {output} --fill")


def main() -> None:
    """Run the command line, with one sentence and a cure for every error it knows."""
    words = sys.argv[1:]
    debug = "--debug" in words
    if debug:
        words.remove("--debug")
    try:
        code = app(args=words, prog_name="solarxai", standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        sys.exit(_tell(error))
    if code == _INTERRUPTED:
        typer.echo("solarxai: interrupted; the same command goes on from here", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: Exception) -> int:
    """Print one sentence and a cure on standard error; return the exit code."""
    from solarxai.errors import SolarxaiError

    kind, said = type(error).__name__, getattr(error, "format_message", None)
    if isinstance(error, SolarxaiError):
        text = str(error)
    elif said is not None:
        if not said():
            return 2
        text = f"{said().rstrip('.')}. See `solarxai --help`."
    elif kind.endswith("ConnectionError"):
        text = f"the network does not answer ({str(error).rstrip('.')}). Try again with a network."
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or kind}: {error.strerror}. Mend this and try again."
    else:
        text = (
            f"unexpected {kind}: {str(error)[:300]}. "
            "Run again with --debug and report what it prints."
        )
    typer.echo(f"solarxai: {text}", err=True)
    return 2


def _stage(name: str, ctx: typer.Context, out: Path, cluster: str | None) -> None:
    """Run one step alone; what stands behind `--` on the line are its options."""
    from solarxai.workflow import single_step

    options = _typed_options(ctx.args)
    threads = options.pop("threads", 1)
    chosen = single_step(name, options, seed=options.get("seed", 0), threads=threads)
    _carry_out(_placed(chosen, cluster, None), out, resume=True)


def _typed_options(words: Sequence[str]) -> dict[str, Any]:
    """Return {batch_size: 32} for --batch-size 32 or --batch-size=32; values are YAML."""
    from solarxai.errors import WorkflowError
    from solarxai.workflow.file import read_value

    found = {}
    rest = list(words)
    while rest:
        word, equals, text = rest.pop(0).partition("=")
        if not word.startswith("--") or (not equals and not rest):
            raise WorkflowError(
                f"{word!r} is not an option with a value", remedy="Write it as --name value."
            )
        found[word[2:].replace("-", "_")] = read_value(text if equals else rest.pop(0))
    return found


def _placed(workflow: Workflow, cluster: str | None, workers: int | None) -> Workflow:
    from dataclasses import replace

    return replace(
        workflow,
        cluster=workflow.cluster if cluster is None else cluster,
        workers=workflow.workers if workers is None else workers,
    )


def _carry_out(workflow: Workflow, out: Path, *, resume: bool) -> None:
    from solarxai.workflow import make_cluster
    from solarxai.workflow.execution import execute
    from solarxai.workflow.summary import describe_results

    cluster = make_cluster(workflow.cluster, workers=workflow.workers)
    progress = _progress(out)
    try:
        results = execute(workflow, out=out, cluster=cluster, progress=progress, resume=resume)
    finally:
        cluster.close()
    typer.echo(describe_results(results, progress.stages, out=out))


def _progress(out: Path | None) -> Progress:
    import time
    from datetime import UTC, datetime

    from solarxai.workflow.progress import Bars, Journal, Lines, Progress

    def now() -> str:
        return datetime.now(UTC).isoformat(timespec="seconds")

    display = Bars(sys.stderr) if sys.stderr.isatty() else Lines(sys.stderr, now=now)
    journal = Journal(out / "run.jsonl" if out else None, now=now)
    return Progress(display=display, journal=journal, clock=time.monotonic)


def _between(text: str | None, name: str, kind: Callable[[str], Any]) -> tuple[Any, Any] | None:
    """Return (A, B) of "A/B"; an end left open is None."""
    from solarxai.errors import QueryError

    if text is None:
        return None
    low, slash, high = text.partition("/")
    try:
        if not slash:
            raise ValueError
        return (kind(low) if low else None, kind(high) if high else None)
    except ValueError as error:
        raise QueryError(
            f"{name} {text!r} is not a range", remedy=f"Write it as {name} FROM/TO."
        ) from error


def _scores(text: str | None) -> tuple[float, float] | None:
    ends = _between(text, "--score", float)
    if ends is None:
        return None
    low, high = ends
    return (-math.inf if low is None else low, math.inf if high is None else high)


def _print_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print records as JSON, or as a table whose columns line up."""
    import json

    from solarxai.workflow.summary import describe_rows

    typer.echo(json.dumps(list(rows), indent=1, default=str) if as_json else describe_rows(rows))


if __name__ == "__main__":
    main()
