"""A synthetic Sun written as FITS files, one scene a unit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.cluster import PlainLoop
from pipelines.options import with_options_of
from solarxai.errors import SolarxaiError
from solarxai.synthetic.archive import scene_files, write_catalog, write_hmi
from solarxai.workflow import Cluster, Outcome, tasks
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "complaints", "run"]

OUTPUTS = ("data/*.fits", "data/catalog.yaml")


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the options beyond their types."""
    return [] if options["n"] >= 1 else [f"n is {options['n']}; draw 1 image or more"]


@with_options_of(write_hmi, without=())
def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    **options: Any,
) -> Outcome:
    """Write `out/data/*.fits` with their truth and `out/data/catalog.yaml`, and count them.

    Parameters
    ----------
    out
        Folder of the run.
    cluster, progress
        Where scenes are drawn, and who follows.
    threads
        Not used: a scene is drawn on one thread.
    **options
        Those of `solarxai.synthetic.write_hmi`.

    Raises
    ------
    SynthesisError
        for options that cannot be drawn.
    """
    del threads
    folder = out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    count = options.pop("n")
    missing = [index for index in range(count) if not _drawn(folder, index)]
    with (progress or Progress()).stage("synth", total=count, unit="scenes") as stage:
        stage.skip(count - len(missing))
        calls = ((folder, options, index) for index in missing)
        for _, result in (cluster or PlainLoop()).run(tasks.write_scene, calls):
            if isinstance(result, SolarxaiError):
                raise result
            stage.advance()
    listed = {name: options[name] for name in ("mode", "seed", "kind")}
    catalog = write_catalog(folder, n=count, **listed)
    return Outcome(
        outputs=(catalog,),
        units=tuple(path for index in range(count) for path in scene_files(folder, index)),
        done=stage.done,
        skipped=stage.skipped,
        figures={"catalog": f"{folder.name}/{catalog.name}"},
        next_command="solarxai ingest {out}",
    )


def _drawn(folder: Path, index: int) -> bool:
    return all(path.is_file() for path in scene_files(folder, index))
