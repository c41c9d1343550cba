"""Commands that keep what a run has made: verified, repaired, made again, packed for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solarxai.cli._application import app
from solarxai.cli._telling import follow
from solarxai.cli._words import ClusterName, RunKey, Settings, StorePath, Workers

if TYPE_CHECKING:
    from solarxai.query import SaliencyStore
    from solarxai.workflow import Cluster

__all__ = ["crate", "reproduce", "verify"]


@app.command()
def verify(
    store: StorePath,
    repair: Annotated[
        bool, typer.Option("--repair", help="Redo what is damaged, and nothing else.")
    ] = False,
    run_folder: Annotated[
        Path | None,
        typer.Option(help="Folder of the run that made the store [the one around it]."),
    ] = None,
) -> None:
    """Compute every hash of a store again and compare it with the ledger; print the root hash.

    **Exit codes**: 0, sound; 1, something is damaged; 2, unable to read or to repair.

    **Examples**: `solarxai verify runs/demo/store`, `solarxai verify runs/demo/store --repair`
    """
    from solarxai.query import open_store

    opened = open_store(store)
    if not repair:
        raise typer.Exit(_verified(opened))
    if not _verified(opened, quiet=True):
        typer.echo("nothing was damaged")
    _repair(opened, run_folder)
    raise typer.Exit(_verified(opened))


def _verified(store: SaliencyStore, *, quiet: bool = False) -> int:
    """Print what is damaged, or the root hash; return the exit code."""
    findings = store.verify()
    for finding in findings:
        typer.echo(str(finding))
    if any(finding.problem != "unfinished" for finding in findings):
        return 1
    if findings:
        typer.echo(f"{store.path}: what is written is sound; the run has to go on")
    elif not quiet:
        root = store.root_hash()
        typer.echo(f"{store.path}: every shard is what was written\nroot hash {root}")
    return 0


def _repair(store: SaliencyStore, run_folder: Path | None) -> None:
    from solarxai.workflow.repair import repair

    cluster = _cluster("none", None, run_folder or store.path.parent)
    try:
        done = repair(store, run_folder=run_folder, cluster=cluster, progress=follow(None))
    finally:
        cluster.close()
    for one in done:
        parts = [*one.shared, *(f"shard {shard}" for shard in one.shards)]
        typer.echo(f"done again: {one.run[:12]}: {', '.join(parts) or 'its seal'}")


@app.command()
def reproduce(
    store: StorePath,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new run [STORE, with .again behind it].")
    ] = None,
    run_key: RunKey = None,
    settings: Settings = None,
    cluster: ClusterName = None,
    workers: Workers = None,
) -> None:
    """Make a store's maps again from what it records, compare root hashes, tell what differs.

    **Exit codes**: 0, every byte is the same; 1, some differ; 2, unable to do it.

    **Examples**: `solarxai reproduce runs/demo/store`,
    `solarxai reproduce runs/mine/store --set ingest.catalog=/new/place/catalog.yaml`
    """
    from solarxai.query import open_store
    from solarxai.workflow.reproduction import reproduce as again

    folder = out or Path(f"{store.resolve()}.again")
    opened = open_store(store)
    units = _cluster(cluster or "none", workers, folder)
    try:
        made = again(
            opened,
            out=folder,
            cluster=units,
            progress=follow(None),
            run=run_key,
            settings=settings or (),
        )
    finally:
        units.close()
    typer.echo(made.text())
    raise typer.Exit(0 if made.same else 1)


def _cluster(spelled: str, workers: int | None, folder: Path) -> Cluster:
    from solarxai.workflow import make_cluster, spelled_placement
    from solarxai.workflow.clusters import Placement

    placement = spelled_placement(spelled, beside=Placement())
    return make_cluster(placement, workers=workers or 2, folder=folder)


@app.command()
def crate(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder, or a file that ends in .zip [RUN.crate]."),
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="Who ran it: a name, or an ORCID as a URL [your login].")
    ] = None,
    licence: Annotated[
        str, typer.Option("--license", help="Under which the results are given: a URL, or words.")
    ] = "not stated",
) -> None:
    """Pack a run as an RO-Crate: results, workflow, software, inputs with hashes, times.

    **Example**: `solarxai crate runs/demo -o demo.zip --agent https://orcid.org/0000-0002-1825-0097
    --license https://creativecommons.org/licenses/by/4.0/`
    """
    import getpass

    from solarxai.workflow.crate import write_crate

    target = output or Path(f"{run.resolve()}.crate")
    write_crate(run, target, agent=agent or getpass.getuser(), licence=licence)
    typer.echo(str(target))
