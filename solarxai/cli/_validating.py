"""The command that judges a model, for a reader and for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solarxai.cli._application import app
from solarxai.cli._telling import follow
from solarxai.cli._words import AsJson, RunKey, StorePath

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["validate"]


@app.command()
def validate(
    store: StorePath,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write FOLDER/index.html, a page with figures, report.json and report.junit.xml.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the checks as JUnit XML, for a CI job."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Where a check holds, such as accuracy=0.9; may be repeated.",
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A test of the maps: localisation, randomisation or faithfulness [all]; "
            "may be repeated. The model itself is always tested.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="A method whose maps to test [all]; may be repeated.")
    ] = None,
    run_key: RunKey = None,
    as_json: AsJson = False,
) -> None:
    """Test what the model of a store answers to, and what its maps mean; print a verdict.

    Stores of patches and of spectra. Nothing is trained.

    **Exit codes**: 0, no check of the model fails (that it is undecided does not fail); 1, one
    fails, as where the model is convicted; 2, unable to judge. Failing checks of maps do not
    count: they tell which maps to believe, not what the model does.

    **Examples**: `solarxai validate runs/demo/store --report runs/demo/report`,
    `solarxai validate runs/mine/store --junit report.xml --limit accuracy=0.9`

    `solarxai run` with the step `validate` makes the same report; with
    `--set validate.label_randomisation=true` it trains again on permuted labels, too.
    """
    from solarxai import validation
    from solarxai.provenance import write_atomically
    from solarxai.query import open_store
    from solarxai.validation.junit import to_junit

    chosen: dict[str, Any] = {"methods": method, "run": run_key}
    options: dict[str, Any] = {**chosen, "limits": validation.Limits.parse(_limits(limit or ()))}
    if test:
        options["tests"] = test
    opened = open_store(store)
    with follow(None).stage("validate", unit="checks") as stage:
        made = validation.validate(opened, progress=stage.reach, **options)
    typer.echo(made.to_json() if as_json else made.text(), nl=False)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(junit, to_junit(made).encode())
    if report is not None:
        from solarxai.page.folder import write_report

        samples = validation.stored_samples(opened, **chosen)
        classifier = validation.load_classifier(opened, samples.attrs["runs"])
        write_report(made, samples, classifier, report)
    raise typer.Exit(made.exit_code)


def _limits(words: Sequence[str]) -> dict[str, Any]:
    """Return {"accuracy": 0.9} for "accuracy=0.9"."""
    from solarxai.errors import ValidationError
    from solarxai.workflow.file import read_value

    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ValidationError(
                f"--limit {word!r} is no limit with a value",
                remedy="Write it as --limit NAME=VALUE, such as --limit accuracy=0.9.",
            )
        found[name] = read_value(text)
    return found
