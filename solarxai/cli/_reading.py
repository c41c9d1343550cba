"""Commands that answer from what a run has made: its store, its training, the methods."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from solarxai.cli._application import app
from solarxai.cli._telling import follow, print_rows
from solarxai.cli._words import AsJson, Methods, RunKey, StorePath, angles, between, scores

__all__ = ["index", "methods", "movie", "query"]

_ROWS_OF_A_TABLE = 100


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
    cone: Annotated[
        str | None, typer.Option(help="X,Y,RADIUS in arcsec: the place on the Sun.")
    ] = None,
    box: Annotated[str | None, typer.Option(help="X/X,Y/Y in arcsec: lowest/highest.")] = None,
    run_key: RunKey = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Most rows [100 in a table, else all]; 0 for all."),
    ] = None,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many rows first.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write out.zarr, out.nc, or a folder of FITS files."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find saliency maps by time, place, label, region or score; print their rows, or write them.

    **Examples**:
    `solarxai query runs/demo/store --time 2014-03-29T14:00/2014-03-29T15:00 --label sunspot`,
    `solarxai query runs/demo/store --cone -100,250,60 --limit 20 --offset 20`,
    `solarxai query runs/demo/store --nearest 2014-03-29T14:07 -o maps/`
    """
    from solarxai.query import open_store

    opened = open_store(store)
    circle, sides = angles(cone, "--cone", "X,Y,RADIUS"), angles(box, "--box", "X/X,Y/Y")
    if limit is None and output is None and not as_json:
        limit = _ROWS_OF_A_TABLE
    found = opened.query(
        time=between(time, "--time", str),
        nearest=nearest,
        methods=method,
        label=label,
        region=region,
        origin=origin,
        score=scores(score),
        split=split,
        cone=((circle[0], circle[1]), circle[2]) if circle else None,
        box=((sides[0], sides[1]), (sides[2], sides[3])) if sides else None,
        run=run_key,
        limit=limit or None,
        offset=offset,
    )
    if output is not None:
        typer.echo(f"{opened.export(found, output)}: {found.sizes['sample']} samples")
        return
    columns = ["time", "label", "predicted", "score", "region", "split", "sample_id"]
    columns += ["solar_x", "solar_y"] if circle or sides else []
    columns += ["run"] if len(found.attrs["runs"]) > 1 else []
    values = {name: found[name].values.tolist() for name in columns if name in found.variables}
    values |= {"time": found["time"].values.astype("datetime64[ms]").tolist()}
    print_rows(
        [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)],
        as_json=as_json,
    )
    shown = found.sizes["sample"]
    total = found.attrs.get("rows_that_match", shown)
    if total > shown and not as_json:
        typer.echo(
            f"rows {offset + 1} to {offset + shown} of {total}; --limit and --offset give others",
            err=True,
        )


@app.command()
def index(
    store: StorePath,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make it anew from the segments.")
    ] = False,
) -> None:
    """Bring the index of a store up to date, as every query does, or make it anew; say what it has.

    **Example**: `solarxai index runs/demo/store --rebuild`
    """
    from solarxai.query import open_store

    span = open_store(store).index(rebuild=rebuild)
    typer.echo(f"{store}: {span.rows} rows of {span.segments} runs")


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
