"""Files are ingested in blocks; what cannot be read stops the run, or is left out and recorded."""

import json
import shutil

import pytest

from pipelines import ingest
from solarxai import blocks
from solarxai.catalog import Catalog
from solarxai.errors import IngestError
from solarxai.ingest import ingest as ingest_one
from solarxai.provenance import file_hash


@pytest.fixture
def images(trained, tmp_path):
    """Return a folder with a `data/` of three scenes and their catalog."""
    (tmp_path / "data").mkdir()
    catalog = Catalog.load(trained / "data" / "catalog.yaml").prune(3)
    for path in [p for r in catalog.references for p in (r.path, r.truth)]:
        shutil.copy(path, tmp_path / "data")
    Catalog.load(trained / "data" / "catalog.yaml").prune(3).save(tmp_path / "data" / "full.yaml")
    text = (tmp_path / "data" / "full.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("root:")]
    (tmp_path / "data" / "catalog.yaml").write_text("\n".join(lines))
    return tmp_path


def test_blocks_hold_what_the_function_gives_file_by_file(images):
    outcome = ingest.run(out=images, patch_size=48, scale_mm=0.6)
    found = blocks.open_samples(images / "samples")
    references = Catalog.load(images / "data" / "catalog.yaml").references
    plain = blocks.concatenate([ingest_one(r, shape=(48, 48), scale_mm=0.6) for r in references])
    assert found.identical(plain.load()) or (found["image"].values == plain["image"].values).all()
    assert found["sample_id"].values.tolist() == plain["sample_id"].values.tolist()
    assert outcome.done == 3
    assert outcome.figures["observations"] == 3


def test_blocks_that_are_there_are_kept(images):
    ingest.run(out=images)
    again = ingest.run(out=images)
    assert (again.done, again.skipped) == (0, 3)


def test_the_number_of_files_a_block_changes_no_sample(images, monkeypatch):
    ingest.run(out=images)
    whole = blocks.open_samples(images / "samples")
    shutil.rmtree(images / "samples")
    monkeypatch.setattr(ingest, "FILES_A_BLOCK", 1)
    ingest.run(out=images)
    assert len(list((images / "samples").glob("*.nc"))) == 3
    assert blocks.open_samples(images / "samples").identical(whole)


def test_a_damaged_file_stops_the_run_and_leaves_no_block(images):
    (images / "data" / "scene_00001.fits").write_bytes(b"SIMPLE  = ")
    with pytest.raises(IngestError, match=r"scene_00001\.fits: its checksum is"):
        ingest.run(out=images)
    assert list((images / "samples").iterdir()) == []
    assert not (images / "ingest.json").exists()


def test_a_damaged_file_is_left_out_and_recorded_when_told_to(images):
    (images / "data" / "scene_00001.fits").write_bytes(b"SIMPLE  = ")
    (images / "data" / "scene_00002.fits").unlink()
    outcome = ingest.run(out=images, on_error="skip")
    assert (outcome.done, outcome.failed) == (1, 2)
    recorded = json.loads((images / "ingest.json").read_text())["failures"]
    assert [failure["file"] for failure in recorded] == ["scene_00001.fits", "scene_00002.fits"]
    assert "checksum" in recorded[0]["error"]
    assert "Fetch it" in recorded[1]["remedy"]
    assert ingest.run(out=images, on_error="skip").failures == outcome.failures


def test_a_run_without_any_readable_file_says_why(images):
    for path in (images / "data").glob("*[0-9].fits"):
        path.unlink()
    with pytest.raises(IngestError, match="none of the 3 files could be ingested; the first is"):
        ingest.run(out=images, on_error="skip")


def test_only_the_first_files_are_ingested_when_told_to(images):
    assert ingest.run(out=images, first=2).figures["observations"] == 2


def test_records_name_no_path_of_this_machine(images):
    (images / "data" / "scene_00001.fits").unlink()
    ingest.run(out=images, on_error="skip")
    for path in (images / "ingest.json", *(images / "samples").glob("*.json")):
        assert str(images) not in path.read_text()


def test_the_same_files_give_the_same_blocks_in_another_folder(images, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(images / "data", other / "data")
    ingest.run(out=images)
    ingest.run(out=other)
    names = [path.name for path in sorted((images / "samples").iterdir())]
    assert names == [path.name for path in sorted((other / "samples").iterdir())]
    for name in names:
        if name.endswith(".json"):
            assert file_hash(images / "samples" / name) == file_hash(other / "samples" / name)
