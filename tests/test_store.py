"""What is on the disk: exact, the same bytes everywhere, and trusted only as far as its ledger."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from solarxai import store as store_module
from solarxai.errors import SchemaError, StoreError
from solarxai.schema import mock_samples
from solarxai.store import Store, create_store
from solarxai.store import segment as segment_module
from solarxai.store.segment import Segment

N_ROWS, SHARD_SIZE = 10, 4
METHODS = ("gradient", "expected_gradients")


def attributed(samples: xr.Dataset) -> xr.Dataset:
    """Return the samples with maps that depend on each row alone."""
    image = samples["image"]
    return samples.assign(
        gradient=image * np.float32(0.3),
        expected_gradients=image - image.mean(("y", "x")),
        expected_gradients_stderr=np.abs(image) * np.float32(0.01),
        expected_gradients_completeness_error=image.mean(("y", "x")).astype(np.float32),
        score=image.sum(("y", "x")).astype(np.float64),
        predicted=("sample", samples["label"].values),
    )


def rows(n: int = N_ROWS) -> xr.Dataset:
    """Return samples with extra columns of every type."""
    samples = mock_samples(n, size=16)
    samples["header"] = ("sample", np.array([f"N = {r // 3}" for r in range(n)], dtype=object))
    samples.attrs = {"scale_mm": 0.5}
    return samples.assign(
        split=("sample", np.array(["test", "train"] * (n // 2), dtype=object)),
        rule_label=("sample", np.array(["pore", "Fleck ß"] * (n // 2), dtype=object)),
        is_isolated=("sample", np.arange(n) % 3 == 0),
        count=("sample", np.arange(n, dtype=np.int16)),
        truth_umbra=(("sample", "y", "x"), samples["image"].values / 3),
    )


def begin(store: Store, samples: xr.Dataset, **changes: object) -> Segment:
    options: dict[str, object] = {
        "run_key": "run1",
        "provenance": {"code": "abc", "seeds": [0]},
        "shard_size": SHARD_SIZE,
        "checkpoint": b"weights",
        "variables": attributed(samples.isel(sample=slice(1))),
    }
    return store.begin(samples, METHODS, **(options | changes))  # type: ignore[arg-type]


def fill(segment: Segment) -> Segment:
    for shard in segment.missing():
        segment.write(shard, attributed(segment.samples(shard)))
    return segment


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "store")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = create_store(tmp_path_factory.mktemp("original") / "store")
    fill(begin(store, rows())).seal()
    return store


@pytest.fixture
def sealed(original: Store, tmp_path: Path) -> Segment:
    """Return a finished segment that the test may damage."""
    shutil.copytree(original.path, tmp_path / "sealed")
    return Store(tmp_path / "sealed").segment("run1")


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_a_segment_opens_with_plain_open_zarr(sealed: Segment) -> None:
    samples = rows()
    with xr.open_zarr(sealed.path) as opened:
        assert set(opened.coords) == set(samples.coords) - {"header"}
        np.testing.assert_array_equal(opened["time"], samples["time"])
        assert opened["label"].values.tolist() == samples["label"].values.tolist()
        np.testing.assert_array_equal(opened["image"], samples["image"])
        assert opened["gradient"].dims == ("sample", "y", "x")
        assert opened["wcs"].attrs["ctype1"] == "HPLN-TAN"
        assert "crval1" not in opened["wcs"].attrs


def test_images_and_columns_come_back_to_the_last_bit(sealed: Segment) -> None:
    samples = rows()
    again = xr.concat([sealed.samples(shard) for shard in sealed.shards], dim="sample")
    xr.testing.assert_identical(again, samples[list(again)])
    assert set(again.variables) == set(samples.variables)
    assert {name: again[name].dtype for name in again} == {n: samples[n].dtype for n in samples}


def test_times_keep_their_nanoseconds(store: Store) -> None:
    samples = rows()
    samples["time"] = samples["time"] + np.timedelta64(123_456_789, "ns")
    segment = begin(store, samples)
    with xr.open_zarr(segment.path) as opened:
        np.testing.assert_array_equal(opened["time"], samples["time"])
    assert json.loads((segment.path / "time" / "zarr.json").read_text())["data_type"] == "int64"


def test_maps_keep_ten_bits_of_mantissa_and_say_so(sealed: Segment) -> None:
    exact = attributed(rows())
    for name in ("gradient", "expected_gradients_stderr"):
        stored = sealed.read(name, np.arange(N_ROWS))
        np.testing.assert_allclose(stored, exact[name], rtol=2**-11)
        assert not (stored.view(np.uint32) & (2**13 - 1)).any()
        assert sealed.describe(name).attrs["bitround_keep_bits"] == 10
    np.testing.assert_array_equal(sealed.read("score", np.arange(N_ROWS)), exact["score"])


def test_each_map_is_a_chunk_and_each_shard_a_file(sealed: Segment) -> None:
    array = zarr.open_array(sealed.path / "gradient")
    assert array.chunks == (1, 16, 16)
    assert array.shards == (SHARD_SIZE, 16, 16)
    files = {path.name for path in (sealed.path / "gradient").iterdir()} - {"zarr.json"}
    assert files == {"c.0.0.0", "c.1.0.0", "c.2.0.0"}


def test_the_shards_are_those_that_zarr_writes_itself(sealed: Segment, tmp_path: Path) -> None:
    for name in ("image", "segmentation", "central", "gradient"):
        values = sealed.read(name, np.arange(N_ROWS))
        shutil.copytree(sealed.path / name, tmp_path / name)
        for file in (tmp_path / name).glob("c.*"):
            file.unlink()
        with zarr.config.set({"array.write_empty_chunks": True}):
            array = zarr.open_array(tmp_path / name, mode="r+")
            array[:] = values
            np.testing.assert_array_equal(array[:], values)
        assert contents(tmp_path / name) == contents(sealed.path / name), name


def test_a_shard_that_holds_only_fill_values_is_written_too(store: Store) -> None:
    segment = begin(store, rows())
    maps = attributed(segment.samples(0))
    maps["predicted"] = maps["predicted"].copy(data=np.array([""] * SHARD_SIZE, dtype=object))
    segment.write(0, maps)
    assert segment.holds(0)


def test_each_header_is_stored_once(sealed: Segment) -> None:
    places = sealed.read("header_place", np.arange(N_ROWS))
    assert places.tolist() == [r // 3 for r in range(N_ROWS)]
    assert sealed.read("header", np.array([9, 0])).tolist() == ["N = 3", "N = 0"]


def test_rows_come_back_in_the_order_asked_for(sealed: Segment) -> None:
    image = rows()["image"].values
    for chosen in ([7, 2, 2, 9], [3, 4, 5], [5, 4, 3], []):
        got = sealed.read("image", np.array(chosen, dtype=np.int64), (slice(None), 3))
        np.testing.assert_array_equal(got, image[chosen, :, 3])


def test_the_segment_explains_itself(sealed: Segment) -> None:
    assert sealed.checkpoint.read_bytes() == b"weights"
    assert sealed.provenance == {"code": "abc", "seeds": [0]}
    assert sealed.methods == METHODS
    assert sealed.describe("expected_gradients_stderr").attrs["method"] == "expected_gradients"


def test_a_segment_without_a_classifier_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="holds no classifier"):
        _ = begin(store, rows(), checkpoint=None).checkpoint


def test_the_same_input_gives_the_same_bytes_elsewhere(tmp_path: Path, sealed: Segment) -> None:
    other = create_store(tmp_path / "a" / "longer" / "path")
    segment = begin(other, rows())
    for shard in reversed(segment.missing()):
        segment.write(shard, attributed(segment.samples(shard)))
    assert segment.seal() == sealed.root_hash
    assert contents(segment.path) == contents(sealed.path)
    assert other.root_hash() == Store(sealed.path.parents[1]).root_hash()


def test_another_value_gives_another_root_hash(tmp_path: Path, sealed: Segment) -> None:
    samples = rows()
    samples["image"].values[7, 0, 0] += 0.5
    assert fill(begin(create_store(tmp_path / "other"), samples)).seal() != sealed.root_hash


def test_no_file_names_the_place_it_stands_in(sealed: Segment, tmp_path: Path) -> None:
    for name, data in contents(sealed.path).items():
        assert str(tmp_path).encode() not in data, name


def test_begin_again_resumes(store: Store) -> None:
    segment = begin(store, rows())
    segment.write(1, attributed(segment.samples(1)))
    assert begin(store, rows()).missing() == [0, 2]
    assert Store(store.path).segment("run1").missing() == [0, 2]


def test_without_a_template_a_method_is_one_map(store: Store) -> None:
    segment = begin(store, rows(), variables=None)
    assert segment.written_variables == ("expected_gradients", "gradient", "predicted", "score")


def test_a_score_known_before_is_stored_as_a_column(store: Store) -> None:
    samples = rows().assign(score=("sample", np.arange(10.0)))
    segment = begin(store, samples)
    assert "score" not in segment.written_variables
    np.testing.assert_array_equal(fill(segment).read("score", np.arange(10)), np.arange(10.0))


def test_maps_of_another_grid_are_stored_as_they_are(store: Store) -> None:
    samples = rows()
    template = attributed(samples).assign(
        gradient_features=(("sample", "cell_y", "cell_x"), np.ones((10, 2, 3), dtype=np.float32))
    )
    segment = begin(store, samples, variables=template)
    assert segment.describe("gradient_features").shape == (10, 2, 3)
    assert segment.describe("gradient_features").attrs["method"] == "gradient"


def test_a_key_that_names_other_rows_is_refused(store: Store) -> None:
    begin(store, rows())
    with pytest.raises(StoreError, match="already names a segment of other rows"):
        begin(store, rows().isel(sample=slice(8)))
    with pytest.raises(StoreError, match="already names a segment of other rows"):
        begin(store, rows(), shard_size=5)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"run_key": "../up"}, "run key '../up' is not letters"),
        ({"shard_size": 0}, "shard size 0 is not positive"),
        ({"provenance": {"when": {1, 2}}}, "attributes of the run cannot be stored"),
        ({"variables": xr.Dataset()}, "template of the maps lacks the methods"),
    ],
)
def test_a_bad_option_is_refused_and_nothing_is_left(
    store: Store, changes: dict[str, object], match: str
) -> None:
    with pytest.raises(StoreError, match=match):
        begin(store, rows(), **changes)
    assert store.segments() == []


def test_samples_that_cannot_be_stored_are_refused(store: Store) -> None:
    samples = rows()
    with pytest.raises(StoreError, match="not sorted by time"):
        begin(store, samples.isel(sample=slice(None, None, -1)))
    with pytest.raises(StoreError, match="there are no samples"):
        begin(store, samples.isel(sample=slice(0)))
    with pytest.raises(StoreError, match=r"variables \['y'\] are not on"):
        begin(store, samples.assign_coords(y=np.arange(16)))
    with pytest.raises(StoreError, match="column 'mixed' holds values"):
        begin(store, samples.assign(mixed=("sample", np.array([1, "a"] * 5, dtype=object))))
    with pytest.raises(StoreError, match="attributes of the samples cannot be stored"):
        begin(store, samples.assign_attrs(nan=np.nan))
    with pytest.raises(SchemaError, match="image is float64"):
        begin(store, samples.assign(image=samples["image"].astype(np.float64)))
    untimed = samples.assign_coords(time=("sample", np.full(10, "NaT", dtype="datetime64[ns]")))
    with pytest.raises(StoreError, match="a sample has no time"):
        begin(store, untimed)
    with pytest.raises(StoreError, match="not one or more distinct names"):
        store.begin(samples, ["gradient", "gradient"], run_key="a", provenance={})
    template = attributed(samples).assign(cells=("cell", np.arange(3)))
    with pytest.raises(StoreError, match=r"'cells' is on \('cell',\), not on \(sample"):
        begin(store, samples, variables=template)
    assert store.segments() == []


def test_an_interrupted_begin_leaves_no_segment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "consolidate", fails)
        with pytest.raises(KeyboardInterrupt):
            begin(store, rows())
    assert store.segments() == []
    (left,) = store.remove_stale(before=2e9)
    assert left.name.startswith(".begin-run1-")
    assert fill(begin(store, rows())).seal()


def test_the_slower_of_two_that_begin_finds_the_segment_of_the_faster(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = store_module._write_beside

    def overtaken(*arguments: object) -> None:
        monkeypatch.setattr(store_module, "_write_beside", write)
        begin(store, rows())
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store_module, "_write_beside", overtaken)
    assert begin(store, rows()).missing() == [0, 1, 2]
    assert store.remove_stale(before=2e9) == []


def test_data_without_a_ledger_entry_does_not_count(store: Store) -> None:
    segment = fill(begin(store, rows()))
    (segment.path / "ledger" / "000001.json").unlink()
    assert segment.missing() == [1]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"files": 1}'])
def test_a_broken_ledger_entry_does_not_count(store: Store, damage: bytes) -> None:
    segment = fill(begin(store, rows()))
    (segment.path / "ledger" / "000001.json").write_bytes(damage)
    assert segment.missing() == [1]
    assert [f.problem for f in segment.verify()] == ["damaged"]


def test_a_shortened_file_is_missing(store: Store) -> None:
    segment = fill(begin(store, rows()))
    path = segment.path / "gradient" / "c.2.0.0"
    path.write_bytes(path.read_bytes()[:-1])
    assert segment.missing() == [2]


def test_an_unfinished_segment_is_not_sealed(store: Store) -> None:
    segment = begin(store, rows())
    segment.write(0, attributed(segment.samples(0)))
    with pytest.raises(StoreError, match="2 of 3 shards are not written"):
        segment.seal()
    with pytest.raises(StoreError, match="unfinished and has no root hash"):
        store.root_hash()
    assert [(f.problem, f.shard) for f in store.verify()] == [("unfinished", 1), ("unfinished", 2)]


def test_sealing_again_changes_nothing(sealed: Segment) -> None:
    before = contents(sealed.path)
    assert sealed.seal() == sealed.root_hash
    sealed.write(0, xr.Dataset())
    assert contents(sealed.path) == before


def test_verify_finds_a_flipped_bit_in_any_file(sealed: Segment) -> None:
    assert sealed.verify() == []
    for name, data in contents(sealed.path).items():
        flip(sealed.path / name)
        found = Segment(sealed.path).verify()
        assert [f.file for f in found if f.problem == "damaged"][:1] == [name], name
        (sealed.path / name).write_bytes(data)
    assert sealed.verify() == []


def test_verify_names_the_shard_and_what_is_absent(sealed: Segment) -> None:
    flip(sealed.path / "gradient" / "c.1.0.0")
    (sealed.path / "score" / "c.2").unlink()
    (sealed.path / "label" / "c.0").unlink()
    assert sorted(map(str, sealed.verify())) == [
        "absent: run1/label/c.0",
        "absent: run1/score/c.2 (shard 2)",
        "damaged: run1/gradient/c.1.0.0 (shard 1)",
    ]


def test_an_absent_ledger_entry_of_a_sealed_segment_is_damage(sealed: Segment) -> None:
    (sealed.path / "ledger" / "000001.json").unlink()
    assert [(f.problem, f.file) for f in sealed.verify()] == [("damaged", "ledger/000001.json")]


def test_a_broken_seal_is_told(sealed: Segment) -> None:
    (sealed.path / "SEALED.json").write_text('{"files": {}}')
    with pytest.raises(StoreError, match=r"SEALED\.json is damaged"):
        _ = sealed.root_hash


def test_reading_finds_a_flipped_bit(sealed: Segment) -> None:
    path = sealed.path / "gradient" / "c.1.0.0"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="gradient is damaged"):
        sealed.read("gradient", np.arange(4, 8))
    assert len(sealed.read("gradient", np.arange(4))) == 4
    flip(sealed.path / "label" / "c.0")
    with pytest.raises(StoreError, match="label is damaged"):
        sealed.samples(0)


def test_reading_finds_any_flipped_bit_and_any_cut_of_a_file_of_maps(sealed: Segment) -> None:
    path = sealed.path / "gradient" / "c.2.0.0"
    data = path.read_bytes()
    rows_of = np.arange(8, 10)
    for place in range(0, len(data), 41):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(StoreError, match="gradient is damaged"):
            sealed.read("gradient", rows_of)
        path.write_bytes(data[:place])
        with pytest.raises(StoreError, match="gradient is damaged"):
            sealed.read("gradient", rows_of)


def test_a_lost_file_is_never_read_as_fill_values(sealed: Segment) -> None:
    (sealed.path / "gradient" / "c.1.0.0").unlink()
    with pytest.raises(StoreError, match=r"gradient/c\.1\.0\.0 is missing"):
        sealed.read("gradient", np.array([0, 5]))
    (sealed.path / "headers.parquet").unlink()
    with pytest.raises(StoreError, match=r"headers\.parquet is missing or damaged"):
        sealed.samples(0)


def test_damaged_metadata_is_told_in_one_sentence(sealed: Segment) -> None:
    (sealed.path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match="metadata of this segment cannot be read"):
        _ = Segment(sealed.path).methods


def test_a_discarded_shard_is_done_again_with_the_same_root(sealed: Segment) -> None:
    root = sealed.root_hash
    flip(sealed.path / "gradient" / "c.1.0.0")
    sealed.discard(1)
    assert not sealed.sealed
    assert sealed.missing() == [1]
    assert fill(sealed).seal() == root
    assert sealed.verify() == []


def test_maps_that_are_not_the_shards_own_are_refused(store: Store) -> None:
    segment = begin(store, rows())
    maps = attributed(segment.samples(0))
    for wrong, match in (
        (attributed(segment.samples(1)), "sample_id differs"),
        (maps.drop_vars("gradient"), "'gradient' is missing"),
        (maps.assign(surprise=maps["score"]), r"variables \['surprise'\] were not announced"),
        (maps.isel(y=slice(3)), r"gradient has the shape \(4, 3, 16\), not \(4, 16, 16\)"),
        (maps.assign(gradient=maps["gradient"].where(maps["count"] != 2)), "without a finite"),
    ):
        with pytest.raises(StoreError, match=match):
            segment.write(0, wrong)
    with pytest.raises(StoreError, match=r"no shard 3 among 0\.\.2"):
        segment.write(3, maps)
    assert segment.missing() == [0, 1, 2]


def test_a_full_disk_names_the_shard_and_keeps_the_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = begin(store, rows())
    segment.write(0, attributed(segment.samples(0)))

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(segment_module, "write_atomically", full)
    with pytest.raises(StoreError, match=r"shard 1 could not be written \(No space left"):
        segment.write(1, attributed(segment.samples(1)))
    assert segment.missing() == [1, 2]


def test_what_is_not_a_store_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        Store(tmp_path / "absent")
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path / "file")
    for mark in ("", "{", "[]", '{"format": "zarr", "version": 1}'):
        (tmp_path / "store.json").write_text(mark)
        with pytest.raises(StoreError, match="not a store"):
            Store(tmp_path)
    (tmp_path / "store.json").write_text('{"format": "solarxai-store", "version": 2}')
    with pytest.raises(StoreError, match="store of format version 2; this solarxai reads up to"):
        Store(tmp_path)


def test_a_store_is_made_only_where_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert create_store(tmp_path / "empty") == create_store(str(tmp_path / "empty"))
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path):
        with pytest.raises(StoreError, match="cannot become a store"):
            create_store(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def test_an_unknown_run_is_told(store: Store) -> None:
    with pytest.raises(StoreError, match="no run 'run9'"):
        store.segment("run9")


def test_stale_files_go_by_age_and_are_ignored_until_then(sealed: Segment) -> None:
    store = Store(sealed.path.parents[1])
    old, young = sealed.path / "gradient" / ".c.1.0.0.abc", sealed.path / ".young"
    for path, time in ((old, 1e9), (young, 2e9)):
        path.write_bytes(b"half")
        os.utime(path, (time, time))
    assert store.verify() == []
    assert store.remove_stale(before=1.5e9) == [old]
    assert young.exists()


def test_zarr_is_told_not_to_thread_blosc() -> None:
    """Threads of blosc write blocks in the order they finish, hence other bytes each time."""
    import numcodecs

    assert zarr.codecs.BloscCodec
    assert numcodecs.blosc.use_threads is False


_DRIVER = """
    import os, shutil, signal, sys, time
    from pathlib import Path
    sys.path[:0] = [{tests!r}]
    import test_store as t
    from solarxai.store import create_store

    def run(path, die_at=None):
        # os.fsync and renaming are where a writer commits: dying there is dying anywhere
        calls = 0
        def counted(do):
            def call(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return do(*arguments, **options)
            return call
        os.fsync, os.replace, os.rename = map(counted, (os.fsync, os.replace, os.rename))
        segment = t.begin(create_store(path), t.rows())
        begun = calls
        return t.fill(segment).seal(), begun, calls

    def forked(path, die_at=None, after=None):
        child = os.fork()
        if not child:
            Path(str(path) + ".txt").write_text(" ".join(map(str, run(path, die_at))))
            os._exit(0)
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    def killed(name, die_at, begun=None):
        path = base / f"killed_{{name}}_{{die_at}}"
        if begun:
            shutil.copytree(begun, path)
        assert os.WTERMSIG(forked(path, die_at)) == signal.SIGKILL
        print(name, die_at, len(list(path.glob("segments/*/ledger/[0-9]*.json"))))
        assert forked(path) == 0
        again = Path(f"{{path}}.txt").read_text().split()[0]
        assert again == root, (name, die_at)

    t.attributed(t.rows())  # imports what is imported late, once for all children
    base = Path({base!r})
    start = time.monotonic()
    assert forked(base / "whole") == 0
    took = time.monotonic() - start
    root, begun, calls = (base / "whole.txt").read_text().split()
    for point in (1, int(begun) // 2):
        killed("beginning", point)
    whole = base / "killed_beginning_1"
    shutil.copytree(whole, base / "begun")
    for path in (base / "begun").glob("segments/*/[Sl]*"):
        for entry in [path] if path.is_file() else path.glob("[0-9]*.json"):
            entry.unlink()
    fills = int(calls) - int(begun)
    for point in (1, fills // 2, 2 * fills // 3, fills - 1):
        killed("filling", point, base / "begun")
    path = base / "killed_often"
    for turn in range(10):
        forked(path, after=took * ((turn * 0.618034) % 1))
    assert forked(path) == 0
    assert Path(f"{{path}}.txt").read_text().split()[0] == root
"""


def test_a_writer_killed_anywhere_resumes_to_the_same_root_hash(tmp_path: Path) -> None:
    script = textwrap.dedent(_DRIVER).format(tests=str(Path(__file__).parent), base=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr
    ledgered = [int(line.split()[2]) for line in done.stdout.splitlines()]
    assert len(ledgered) == 6
    assert set(ledgered) == {0, 1, 2, 3}
    stores = [path for path in tmp_path.glob("killed*") if path.is_dir()]
    assert len(stores) == 7
    for path in stores:
        assert Store(path).verify() == []
