"""The applications of the command line: solarxai, and its groups of commands."""

from __future__ import annotations

import typer

__all__ = ["app", "catalog_app", "synth_app"]

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
