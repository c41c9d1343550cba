"""Scenes are units: drawn by index, kept when there, the same bytes as the plain function's."""

import pytest

from pipelines import synth
from solarxai.errors import SynthesisError
from solarxai.provenance import file_hash
from solarxai.synthetic.archive import write_hmi
from solarxai.workflow import tasks

SMALL = {"n": 2, "size": 96, "clutter": False, "seed": 5}


def hashes(folder):
    return {path.name: file_hash(path) for path in folder.iterdir()}


def test_the_pipeline_writes_what_the_function_writes(tmp_path):
    write_hmi(tmp_path / "plain", **SMALL)
    (tmp_path / "run").mkdir()
    outcome = synth.run(out=tmp_path / "run", **SMALL)
    assert hashes(tmp_path / "run" / "data") == hashes(tmp_path / "plain")
    assert (outcome.done, outcome.skipped) == (2, 0)


def test_scenes_that_are_there_are_not_drawn_again(tmp_path, monkeypatch):
    first = synth.run(out=tmp_path, **SMALL)
    (tmp_path / "data" / "scene_00001.truth.fits").unlink()
    again = synth.run(out=tmp_path, **SMALL)
    assert (again.done, again.skipped) == (1, 1)
    assert again.units == first.units


def test_what_cannot_be_drawn_stops_the_run(tmp_path):
    with pytest.raises(SynthesisError, match="pixels"):
        synth.run(out=tmp_path, n=1, size=8)


def test_an_unknown_option_is_refused_by_the_signature(tmp_path):
    with pytest.raises(TypeError, match="shape"):
        synth.run(out=tmp_path, n=1, shape=3)


def test_a_scene_is_drawn_by_its_index(tmp_path):
    options = {key: SMALL[key] for key in ("size", "clutter", "seed")}
    tasks.write_scene(tmp_path, options, 1)
    assert sorted(hashes(tmp_path)) == ["scene_00001.fits", "scene_00001.truth.fits"]
