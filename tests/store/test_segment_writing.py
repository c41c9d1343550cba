"""Writing is refused whole or can be taken up again, wherever it was interrupted."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from stored_segment import attributed, begin, contents, fill, rows

from solarxai.errors import SchemaError, StoreError
from solarxai.store import Store, archive
from solarxai.store import segment as segment_module
from solarxai.store.segment import Segment


def test_begin_again_resumes(store: Store) -> None:
    segment = begin(store, rows())
    segment.write(1, attributed(segment.samples(1)))
    assert begin(store, rows()).missing() == [0, 2]
    assert Store(store.path).segment("run1").missing() == [0, 2]


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
    with pytest.raises(StoreError, match=r"variables \['hue'\] are neither on"):
        begin(store, samples.assign_coords(hue=np.arange(16)))
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
        patch.setattr(archive, "consolidate", fails)
        with pytest.raises(KeyboardInterrupt):
            begin(store, rows())
    assert store.segments() == []
    (left,) = store.remove_stale(before=2e9)
    assert left.name.startswith(".begin-run1-")
    assert fill(begin(store, rows())).seal()


def test_the_slower_of_two_that_begin_finds_the_segment_of_the_faster(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = archive._write_beside

    def overtaken(*arguments: object) -> None:
        monkeypatch.setattr(archive, "_write_beside", write)
        begin(store, rows())
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(archive, "_write_beside", overtaken)
    assert begin(store, rows()).missing() == [0, 1, 2]
    assert store.remove_stale(before=2e9) == []


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


_DRIVER = """
    import os, shutil, signal, sys, time
    from pathlib import Path
    sys.path[:0] = [{tests!r}]
    import stored_segment as t
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
    tests = Path(__file__).parents[1]
    script = textwrap.dedent(_DRIVER).format(tests=str(tests), base=str(tmp_path))
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
