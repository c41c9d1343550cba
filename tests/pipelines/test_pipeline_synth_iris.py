"""Observations are units: drawn by index, kept when there, the same bytes as the function's."""

import pytest

from pipelines import synth_iris
from solarxai.catalog import Catalog
from solarxai.errors import SynthesisError
from solarxai.provenance import file_hash
from solarxai.synthetic.iris_archive import write_iris
from solarxai.workflow import tasks

SMALL = {"regions": 2, "observations": 1, "rasters": 1, "steps": 2, "slit": 10, "frames": 4,
         "frame_size": 32, "seed": 5}  # fmt: skip


def hashes(folder):
    return {path.name: file_hash(path) for path in folder.iterdir()}


def test_the_pipeline_writes_what_the_function_writes(tmp_path):
    write_iris(tmp_path / "plain", **SMALL)
    (tmp_path / "run").mkdir()
    outcome = synth_iris.run(out=tmp_path / "run", **SMALL)
    made = hashes(tmp_path / "run" / "data")
    assert made == hashes(tmp_path / "plain")
    assert (outcome.done, outcome.skipped) == (2, 0)
    assert {path.name for path in (*outcome.outputs, *outcome.units)} == set(made)
    assert outcome.next_command == "solarxai ingest-iris {out}"


def test_only_observations_that_lack_a_file_are_drawn_again(tmp_path):
    first = synth_iris.run(out=tmp_path, **SMALL)
    before = hashes(tmp_path / "data")
    next((tmp_path / "data").glob("*SJI_1400*.truth.fits")).unlink()
    again = synth_iris.run(out=tmp_path, **SMALL)
    assert (again.done, again.skipped) == (1, 1)
    assert again.units == first.units
    assert hashes(tmp_path / "data") == before


def test_an_observation_is_drawn_by_its_index(tmp_path):
    (tmp_path / "run").mkdir()
    synth_iris.run(out=tmp_path / "run", **SMALL)
    tasks.write_observation(tmp_path / "one", SMALL, 1)
    alone, whole = hashes(tmp_path / "one"), hashes(tmp_path / "run" / "data")
    assert len(alone) == 4
    assert alone.items() <= whole.items()


def test_the_catalog_lists_rasters_and_slit_jaw_images_by_region(tmp_path):
    synth_iris.run(out=tmp_path, **SMALL)
    catalog = Catalog.load(tmp_path / "data" / "catalog.yaml")
    assert catalog.problems() == ()
    for instrument in ("iris_raster", "iris_sji"):
        regions = [one.region for one in catalog.only(instrument).references]
        assert len(set(regions)) == len(regions) == 2


def test_what_cannot_be_drawn_is_told_before_and_stops_the_run(tmp_path):
    options = {**SMALL, "observations": 7}
    (told,) = synth_iris.complaints(options)
    with pytest.raises(SynthesisError, match="observations") as caught:
        synth_iris.run(out=tmp_path, **options)
    assert told == str(caught.value)
    assert synth_iris.complaints(SMALL) == []


def test_an_unknown_option_is_refused_by_the_signature(tmp_path):
    with pytest.raises(TypeError, match="slits"):
        synth_iris.run(out=tmp_path, slits=3)
