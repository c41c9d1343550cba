"""A segment is trusted only as far as its ledger, and damage is found by whoever reads."""

from __future__ import annotations

import numpy as np
import pytest
from stored_segment import begin, contents, fill, flip, rows

from solarxai.errors import StoreError
from solarxai.store import Store
from solarxai.store.segment import Segment


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
