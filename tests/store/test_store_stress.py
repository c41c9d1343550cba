"""Stores in trouble: full disks, read-only ones, several writers and readers at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from stored_segment import attributed, begin, fill, flip, rows

from solarxai.errors import StoreError
from solarxai.query import open_store
from solarxai.store import Store, create_store
from solarxai.store.ledger import FORMER
from solarxai.store.segment import Segment

TESTS = Path(__file__).parents[1]


def script(text: str, *words: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, after `import stored_segment as t`."""
    head = f"import os, sys\nsys.path[:0] = [{str(TESTS)!r}]\nimport stored_segment as t\n"
    head += "from pathlib import Path\nfrom solarxai.store import create_store\n"
    return subprocess.run(
        [*before, sys.executable, "-c", head + textwrap.dedent(text), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


FULL = """
    from solarxai.cli._telling import tell
    store = create_store(sys.argv[1])
    segment = t.begin(store, t.rows())
    maps = [t.attributed(segment.samples(shard)) for shard in segment.shards]
    segment.write(0, maps[0])
    {fill}
    try:
        segment.write(1, maps[1])
    except Exception as error:
        told = tell(error)
    try:
        t.begin(store, t.rows(), run_key="run2")
    except Exception as error:
        told = tell(error)
    print(segment.verify(), segment.missing(), list(store.path.rglob(".*")))
    sys.exit(told)
"""
LIMIT = """
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
"""
FILLED = """
    with open(store.path.parent / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
"""


def filled(text: str) -> str:
    return textwrap.dedent(FULL).replace("{fill}", textwrap.dedent(text).strip())


def check_full(ended: subprocess.CompletedProcess, reason: str) -> None:
    assert ended.returncode == 2, ended.stderr
    first, second = ended.stderr.splitlines()
    assert f"shard 1 could not be written ({reason}" in first
    assert f"the segment run2 could not be begun ({reason}" in second
    findings, missing = ended.stdout.split(" [1, 2] ")
    assert findings.count("unfinished") == 2
    assert "damaged" not in findings
    assert missing.strip() == "[]"


def test_a_disk_that_refuses_ends_with_2_naming_the_shard_and_keeps_the_others(
    tmp_path: Path,
) -> None:
    check_full(script(filled(LIMIT), tmp_path / "store"), "File too large")
    segment = Store(tmp_path / "store").segment("run1")
    assert fill(segment).seal()
    assert segment.verify() == []


def test_a_disk_that_is_full_does_the_same(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    mount = f"mount -t tmpfs -o size=700k tmpfs {tmp_path}/small"
    before = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    if not shutil.which("unshare") or subprocess.run([*before, mount], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    ended = script(
        filled(FILLED),
        tmp_path / "small" / "store",
        before=(*before, f'{mount} && exec "$@"', "sh"),
    )
    check_full(ended, "No space left on device")


def test_a_seal_that_the_disk_refuses_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = fill(begin(store, rows()))

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("solarxai.store.ledger.write_atomically", full)
    with pytest.raises(StoreError, match=r"could not be sealed \(No space left"):
        segment.seal()
    monkeypatch.undo()
    assert segment.seal()


READ_ONLY = """
    import numpy as np
    from solarxai.errors import StoreError
    from solarxai.query import open_store
    store = open_store(sys.argv[1])
    asked = store.query(label="sunspot")["gradient"].values
    samples, unfinished = t.rows(), store.segment("run2")
    maps = t.attributed(unfinished.samples(0))
    if os.getuid() == 0:
        os.setuid(65534)
    again = open_store(sys.argv[1]).query(label="sunspot")
    print((again["gradient"].values == asked).all(), again.sizes["sample"])
    for write in (
        lambda: unfinished.write(0, maps),
        lambda: t.begin(store, samples, run_key="run3"),
    ):
        try:
            write()
        except StoreError as error:
            print(error)
"""


def test_a_read_only_store_is_asked_as_ever_and_says_so_to_writers(original: Store) -> None:
    """Root may write anywhere, so the process becomes nobody first."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        path = Path(place) / "store"
        shutil.copytree(original.path, path)
        begin(Store(path), rows(), run_key="run2")
        for one in (path, *path.rglob("*")):
            one.chmod(0o555 if one.is_dir() else 0o444)
        ended = script(READ_ONLY, path)
        for one in (path, *path.rglob("*")):
            one.chmod(0o755)
    assert ended.returncode == 0, ended.stderr
    asked, written, begun = ended.stdout.splitlines()
    assert asked.startswith("True ")
    assert "shard 0 could not be written (Permission denied)" in written
    assert "the segment run3 could not be begun (Permission denied)" in begun


AT_ONCE = """
    from solarxai.errors import QueryError
    from solarxai.query import open_store
    t.attributed(t.rows(40))

    def drive(path):
        segment = t.begin(create_store(path), t.rows(40))
        print(t.fill(segment).seal(), flush=True)

    def ask(path):
        while not (store := open_store(path)).runs or not store.segments()[0].sealed:
            try:
                found = store.query().load()
            except QueryError:
                continue
            assert set(found.sample_id.values) <= set(t.rows(40).sample_id.values)
            assert (abs(found.gradient - found.image * 0.3) <= 1e-3 * abs(found.image)).all()

    path = sys.argv[1]
    create_store(path)
    children = []
    for work in (drive, drive, drive, ask):
        child = os.fork()
        if not child:
            work(path)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""


def test_three_drivers_and_a_reader_at_once_come_to_one_root_hash(tmp_path: Path) -> None:
    ended = script(AT_ONCE, tmp_path / "store")
    assert ended.returncode == 0, ended.stderr
    (root,) = set(ended.stdout.split())
    assert Store(tmp_path / "store").segment("run1").root_hash == root
    assert Store(tmp_path / "store").verify() == []
    assert open_store(tmp_path / "store").query().sizes["sample"] == 40


@pytest.mark.parametrize("file", ["run.json", "classifier.safetensors", "headers.parquet"])
def test_reading_finds_any_flipped_bit_in_what_shards_share(sealed: Segment, file: str) -> None:
    path = sealed.path / file
    whole = path.read_bytes()
    readers = {
        "run.json": lambda: sealed.provenance,
        "classifier.safetensors": lambda: sealed.checkpoint,
        "headers.parquet": lambda: sealed.samples(0),
    }
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(StoreError, match=f"{file} is missing or damaged"):
            readers[file]()
    path.write_bytes(whole)
    readers[file]()


def test_a_shard_that_comes_out_different_does_not_pass_for_the_old_one(sealed: Segment) -> None:
    sealed.discard(1)
    other = attributed(sealed.samples(1))
    other["gradient"] = other["gradient"] * 2
    sealed.write(1, other)
    with pytest.raises(StoreError, match=r"2 files are not what FORMER.json says they were"):
        sealed.seal()
    assert not sealed.sealed
    (sealed.path / FORMER).unlink()
    assert sealed.seal() == sealed.root_hash


def test_a_damaged_seal_that_is_gone_is_made_again(sealed: Segment) -> None:
    root = sealed.root_hash
    flip(sealed.path / "SEALED.json")
    (sealed.path / "SEALED.json").unlink()
    assert sealed.seal() == root


def test_a_draft_is_as_young_as_the_youngest_file_in_it(sealed: Segment) -> None:
    store = create_store(sealed.path.parents[1])
    draft = sealed.path.parent / ".begin-run2-abc"
    (draft / "image").mkdir(parents=True)
    (draft / "image" / "c.0").write_bytes(b"half")
    for path, time in ((draft / "image" / "c.0", 2e9), (draft / "image", 1e9), (draft, 1e9)):
        os.utime(path, (time, time))
    assert store.remove_stale(before=1.5e9) == []
    os.utime(draft / "image" / "c.0", (1e9, 1e9))
    assert store.remove_stale(before=1.5e9) == [draft]
