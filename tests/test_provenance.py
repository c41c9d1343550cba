"""Hashes that depend on content alone, and files that are whole or absent."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from solarxai import provenance


@dataclass(frozen=True)
class Recipe:
    width: int = 3
    name: str = "x"


def test_canonical_json_has_sorted_keys_and_no_spaces():
    assert provenance.canonical_json({"b": [1, 2.5], "a": None}) == '{"a":null,"b":[1,2.5]}'


def test_dataclasses_numpy_scalars_and_paths_have_a_text():
    text = provenance.canonical_json([Recipe(), np.float32(0.5), Path("a/b")])
    assert text == '[{"name":"x","width":3},0.5,"a/b"]'


@pytest.mark.parametrize("value", [{1, 2}, object(), Recipe])
def test_what_has_no_exact_text_is_refused(value):
    with pytest.raises(TypeError, match="has no canonical JSON"):
        provenance.canonical_json(value)


def test_numbers_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="Out of range float"):
        provenance.canonical_json(float("nan"))


def test_a_content_hash_ignores_the_order_of_keys_only():
    one = provenance.content_hash({"a": 1, "b": [1, 2]})
    assert one == provenance.content_hash({"b": [1, 2], "a": 1})
    assert one != provenance.content_hash({"a": 1, "b": [2, 1]})
    assert one == hashlib.sha256(b'{"a":1,"b":[1,2]}').hexdigest()


def test_an_array_hash_knows_shape_type_and_order():
    x = np.arange(6, dtype=np.float32)
    hashes = {
        provenance.array_hash(x),
        provenance.array_hash(x.reshape(2, 3)),
        provenance.array_hash(x.astype(np.int32)),
        provenance.array_hash(x[::-1]),
        provenance.array_hash(x[:3], x[3:]),
    }
    assert len(hashes) == 5
    assert provenance.array_hash(x.reshape(2, 3).T.T) == provenance.array_hash(x.reshape(2, 3))


def test_an_array_hash_reads_words():
    words = np.array(["umbra", "Δ"], dtype=object)
    assert provenance.array_hash(words) == provenance.array_hash(words.copy())
    assert provenance.array_hash(words) != provenance.array_hash(words[::-1])


def test_a_file_hash_is_the_sha256_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"sun")
    assert provenance.file_hash(tmp_path / "a") == hashlib.sha256(b"sun").hexdigest()


def test_a_code_hash_does_not_know_where_the_files_lie(tmp_path):
    hashes = []
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "m.py").write_text("x = 1\n")
        hashes.append(provenance.code_hash([tmp_path / place / "m.py"]))
    assert hashes[0] == hashes[1]
    (tmp_path / "here" / "m.py").write_text("x = 2\n")
    assert provenance.code_hash([tmp_path / "here" / "m.py"]) != hashes[0]


def test_versions_name_python_and_what_shapes_the_numbers():
    found = provenance.versions()
    assert {"python", "machine", "torch", "numpy", "solarxai"} <= set(found)
    assert all(isinstance(version, str) for version in found.values())


def test_writing_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "a.json"
    provenance.write_atomically(path, b"old")
    provenance.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    provenance.write_atomically(path, b"old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        provenance.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    provenance.write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("solarxai.provenance.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        provenance.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]
