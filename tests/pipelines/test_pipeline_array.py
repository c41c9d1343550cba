"""Units written down and done in parts make what a plain loop makes, step by step."""

import pytest

from pipelines.cluster import PlainLoop
from pipelines.cluster.array import WrittenOrders
from solarxai import registry
from solarxai.errors import WorkflowError
from solarxai.provenance import file_hash
from solarxai.workflow import load, orders
from solarxai.workflow.execution import execute
from solarxai.workflow.progress import Progress

IMAGES = "synth: {n: 6, mode: matched, clutter: false}\ningest:\n"


def part(folder, number, of):
    return orders.do_part(folder, part=number, of=of, progress=Progress())


def in_parts(path, out, parts=2):
    """Return the results of a workflow whose units are done in parts, and the steps that waited."""
    waited = []
    while True:
        cluster = WrittenOrders(folder=out, workers=parts)
        try:
            made = execute(load(path), out=out, cluster=cluster, progress=Progress())
        except orders.UnitsWaiting:
            function, calls, _ = orders._read_order(out / "work")
            waited.append((function.__name__, len(calls)))
            for number in range(parts):
                part(out / "work", number, parts)
        else:
            return made, waited


def test_a_run_of_spectra_in_parts_ends_with_the_root_hash_of_a_loop(spectra, tmp_path):
    _, path, whole = spectra
    made, waited = in_parts(path, tmp_path / "run")
    assert [name for name, _ in waited] == ["write_observation", "ingest_block", "attribute_shard"]
    (attributed,) = (one.outcome for one in made if one.name == "attribute")
    assert attributed.figures["root hash"] == whole["attribute"].figures["root hash"]


def test_a_run_of_images_in_parts_writes_the_files_of_a_loop(tmp_path):
    (tmp_path / "images.yaml").write_text(IMAGES)
    _, waited = in_parts(tmp_path / "images.yaml", tmp_path / "parts", parts=3)
    assert waited == [("write_scene", 6), ("ingest_block", 1)]
    workflow = load(tmp_path / "images.yaml")
    execute(workflow, out=tmp_path / "loop", cluster=PlainLoop(), progress=Progress())
    made = [path for path in (tmp_path / "loop").rglob("*") if path.suffix in (".fits", ".nc")]
    assert len(made) > 6
    for path in made:
        twin = tmp_path / "parts" / path.relative_to(tmp_path / "loop")
        assert file_hash(path) == file_hash(twin)


def test_the_cluster_ends_the_run_until_nothing_is_missing(tmp_path):
    cluster = WrittenOrders(folder=tmp_path, workers=4)
    with pytest.raises(orders.UnitsWaiting, match=r"2 units of work wait in .*work") as ended:
        list(cluster.run(registry.near_name, iter([("a", ["b"]), ("c", ["d"])])))
    assert "--part I/4` for I from 0 to 3" in ended.value.remedy
    assert ended.value.exit_code == 3
    assert part(tmp_path / "work", 0, 1).done == 2
    assert list(cluster.run(registry.near_name, iter([]))) == []
    assert not (tmp_path / "work").exists()
    cluster.close()


def test_the_cluster_raises_what_a_part_wrote_down_once(tmp_path):
    cluster = WrittenOrders(folder=tmp_path)
    calls = [("solarxai.instruments", "hni")]
    with pytest.raises(orders.UnitsWaiting):
        list(cluster.run(registry.load, calls))
    part(tmp_path / "work", 0, 1)
    with pytest.raises(WorkflowError, match="hni"):
        list(cluster.run(registry.load, calls))
    with pytest.raises(orders.UnitsWaiting):
        list(cluster.run(registry.load, calls))


def test_the_cluster_says_which_units_ended_their_parts(tmp_path):
    cluster = WrittenOrders(folder=tmp_path)
    calls = [("a", ["b"])]
    with pytest.raises(orders.UnitsWaiting):
        list(cluster.run(registry.near_name, calls))
    (tmp_path / "work" / "doing-x-0-of-1.txt").write_text("the unit near_name('a')")
    with pytest.raises(orders.UnitsWaiting, match=r"1 parts ended while they did the unit near_n"):
        list(cluster.run(registry.near_name, calls))
    with pytest.raises(orders.UnitsWaiting, match=r"wait in \S+work\. Do"):
        list(cluster.run(registry.near_name, calls))
