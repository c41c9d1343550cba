"""A synthetic IRIS written as level-2 FITS files, one observation a unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.cluster import PlainLoop
from pipelines.options import with_options_of
from solarxai.errors import SolarxaiError
from solarxai.synthetic.iris_archive import (
    FLARES,
    observation_count,
    observation_files,
    write_iris,
    write_iris_catalog,
)
from solarxai.workflow import Cluster, Outcome, tasks
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "complaints", "run"]

OUTPUTS = ("data/*.fits", "data/*.csv", "data/catalog.yaml")


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options beyond their types."""
    try:
        observation_count(**options)
    except SolarxaiError as error:
        return [str(error)]
    return []


@with_options_of(write_iris, without=())
def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    **options: Any,
) -> Outcome:
    """Write `out/data/*.fits` with their truth, `flares.csv` and `catalog.yaml`, and count them.

    Parameters
    ----------
    out
        Folder of the run.
    cluster, progress
        Where observations are drawn, and who follows.
    threads
        Not used: an observation is drawn on one thread.
    **options
        Those of `solarxai.synthetic.iris_archive.write_iris`.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn.
    """
    del threads
    folder = out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    count = observation_count(**options)
    files = [observation_files(folder, index=index, **options) for index in range(count)]
    missing = [index for index, paths in enumerate(files) if not all(p.is_file() for p in paths)]
    with (progress or Progress()).stage("synth", total=count, unit="observations") as stage:
        stage.skip(count - len(missing))
        calls = ((folder, options, index) for index in missing)
        for _, result in (cluster or PlainLoop()).run(tasks.write_observation, calls):
            if isinstance(result, SolarxaiError):
                raise result
            stage.advance()
    catalog = write_iris_catalog(folder, **options)
    return Outcome(
        outputs=(catalog, folder / FLARES),
        units=tuple(path for paths in files for path in paths),
        done=stage.done,
        skipped=stage.skipped,
        figures={"catalog": f"{folder.name}/{catalog.name}"},
        next_command="solarxai ingest-iris {out}",
    )
