"""Commands that answer from what a run has made: its store, its training, the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from solarxai.cli._application import app
from solarxai.cli._telling import follow, print_rows
from solarxai.cli._words import AsJson, Methods, RunKey, StorePath, between, scores

__all__ = ["methods", "movie", "query", "verify"]


@app.command()
def query(
    store: StorePath,
    time: Annotated[str | None, typer.Option(help="From/to in UTC: A/B, A/ or /B.")] = None,
    nearest: Annotated[str | None, typer.Option(help="A time in UTC; the nearest row.")] = None,
    method: Methods = None,
    label: Annotated[str | None, typer.Option(help="Such as sunspot, or preflare.")] = None,
    region: Annotated[str | None, typer.Option(help="An active region, as stored.")] = None,
    origin: Annotated[str | None, typer.Option(help="real or synthetic.")] = None,
    score: Annotated[str | None, typer.Option(help="Of the second class: LOW/HIGH.")] = None,
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
        time=between(time, "--time", str),
        nearest=nearest,
        methods=method,
        label=label,
        region=region,
        origin=origin,
        score=scores(score),
        split=split,
        run=run_key,
    )
    if output is not None:
        typer.echo(f"{opened.export(found, output)}: {found.sizes['sample']} samples")
        return
    columns = ("time", "label", "predicted", "score", "region", "split", "sample_id")
    kept = [name for name in columns if name in found.variables]
    table = found[kept].to_dataframe().reset_index(drop=True)[kept]
    print_rows([dict(row) for _, row in table.iterrows()], as_json=as_json)


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


@app.command()
def movie(
    run: Annotated[Path, typer.Argument(help="Folder of a run trained with keep_epochs.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A .webp, or .mp4 with ffmpeg [RUN/movie.webp]."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Which maps [expected_gradients, if it has baselines].")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(help="Name of a sample or of a spectrum, or a number [a telling one]."),
    ] = None,
    fps: Annotated[float, typer.Option(help="Epochs shown in a second.")] = 5.0,
) -> None:
    """Film a training: its loss, and below it what the network looks at, epoch by epoch.

    **Example**: `solarxai movie runs/demo -o film.webp --method expected_gradients --sample 0`
    """
    from solarxai.plotting.movie import training_movie

    target = output or run / "movie.webp"
    with follow(None).stage("movie", unit="epochs") as stage:
        made = training_movie(
            run, target, method=method, sample=sample, fps=fps, progress=stage.reach
        )
    typer.echo(f"{target}: {made} frames")
