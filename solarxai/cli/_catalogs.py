"""Commands on catalogs of files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from solarxai.cli._application import catalog_app
from solarxai.cli._words import between

__all__ = ["catalog_check", "catalog_fido"]


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

    first, last = between(time, "--time", str) or ("", "")
    if not first or not last:
        raise CatalogError(f"--time {time!r} is not A/B", remedy="Give both ends.")
    table = search_fido((first, last), instrument=instrument, physobs=physobs)
    catalog = catalog_from_fido(table, name=output.stem, folder=output.parent, region=region)
    catalog.save(output)
    typer.echo(f"{output}: {len(catalog.references)} files; when they are fetched, type")
    typer.echo(f"solarxai catalog check {output} --fill")
