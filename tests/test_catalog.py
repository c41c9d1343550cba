"""Catalogs say which bytes are meant, and complain about everything at once."""

import dataclasses
import hashlib
import pickle
from pathlib import Path

import pytest

from solarxai.catalog import Catalog, Reference
from solarxai.errors import CatalogError

CATALOGS = sorted((Path(__file__).parents[1] / "data_catalogs").glob("*.yaml"))
SHA = hashlib.sha256(b"sun").hexdigest()
ENTRY = f"""
  - path: sun.fits
    sha256: {SHA}
    instrument: hmi
    region: NOAA 11158
"""


def write(folder, entries=ENTRY, head="name: trial\norigin: real\nlicence: MIT\n"):
    path = folder / "catalog.yaml"
    path.write_text(f"{head}entries:{entries}")
    return path


def reference(**changes):
    known = {
        "path": Path("sun.fits"),
        "name": "sun.fits",
        "sha256": SHA,
        "instrument": "hmi",
        "region": "A",
        "origin": "real",
    }
    return Reference(**(known | changes))


def test_an_entry_becomes_a_reference_below_the_catalogs_own_folder(tmp_path):
    (found,) = Catalog.load(write(tmp_path)).references
    assert found.path == tmp_path / "sun.fits"
    assert (found.name, found.sha256, found.instrument) == ("sun.fits", SHA, "hmi")
    assert (found.region, found.origin, found.licence) == ("NOAA 11158", "real", "MIT")
    assert found.options == {}


def test_an_entrys_own_licence_and_options_come_first(tmp_path):
    entry = ENTRY + "    licence: BSD-2-Clause\n    options: {frame: 3, plate_scale: 0.5 arcsec}\n"
    (found,) = Catalog.load(write(tmp_path, entry)).references
    assert found.licence == "BSD-2-Clause"
    assert found.options == {"frame": 3, "plate_scale": "0.5 arcsec"}


def test_the_root_expands_variables(tmp_path):
    path = write(tmp_path, head="name: trial\norigin: real\nroot: ${DATA}/hmi\n")
    catalog = Catalog.load(path, variables={"DATA": str(tmp_path / "far")})
    assert catalog.references[0].path == tmp_path / "far" / "hmi" / "sun.fits"


def test_an_unset_variable_is_named(tmp_path):
    path = write(tmp_path, head="name: trial\norigin: real\nroot: $NOWHERE\n")
    with pytest.raises(CatalogError, match=r"variable NOWHERE, which is unset. Set NOWHERE"):
        Catalog.load(path, variables={})


def test_all_complaints_come_at_once_with_near_names(tmp_path):
    entry = """
  - path: ../sun.fits
    sha265: abc
    instrument: hmi_shrap
  - path: 7
    sha256: 12
    instrument: hmi
    region: A
    options: {frame: [1]}
"""
    with pytest.raises(CatalogError) as caught:
        Catalog.load(write(tmp_path, entry, head="name: trial\norigin: imagined\nroots: x\n"))
    said = str(caught.value)
    assert "entries[0].path: value error, must be a path below root, without '..'" in said
    assert "entries[0].sha265 is not a key of catalogs. Did you mean 'sha256'?" in said
    assert "entries[0].region is missing" in said
    assert "entries[1].path: input should be a valid string" in said
    assert "entries[1].sha256: input should be a valid string" in said
    assert "entries[1].options.frame" in said
    assert "origin: input should be 'real' or 'synthetic'" in said
    assert "roots is not a key of catalogs. Did you mean 'root'?" in said


def test_an_unknown_instrument_gets_the_nearest_name(tmp_path):
    path = write(tmp_path, ENTRY.replace("hmi", "hmi_shrap"))
    with pytest.raises(CatalogError, match=r"entries\[0\].*'hmi_shrap'.*mean 'hmi_sharp'"):
        Catalog.load(path)


def test_an_instrument_like_no_other_gets_the_list(tmp_path):
    path = write(tmp_path, ENTRY.replace("hmi", "zzzzz"))
    with pytest.raises(CatalogError, match="Known: generic, hmi,"):
        Catalog.load(path)


def test_an_entry_given_twice_is_refused_but_two_frames_of_a_cube_are_two(tmp_path):
    frames = "".join(f"{ENTRY}    options: {{frame: {k}}}\n" for k in (0, 1))
    assert len(Catalog.load(write(tmp_path, frames)).references) == 2
    with pytest.raises(CatalogError, match=r"entries\[1\] repeats entries\[0\] \(sun.fits\)"):
        Catalog.load(write(tmp_path, ENTRY + ENTRY))


def test_real_images_have_no_truth(tmp_path):
    entry = ENTRY + f"    truth: {{path: t.fits, sha256: {SHA}}}\n"
    with pytest.raises(CatalogError, match=r"entries\[0\].truth is given, but real"):
        Catalog.load(write(tmp_path, entry))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is not YAML"),
        ("", "the file is not a mapping of keys"),
        ("- 1", "the file is not a mapping of keys"),
        ("name: x\norigin: real\nentries: []", "entries: list should have at least 1 item"),
        ("name: x\norigin: real\nentries: [3]", r"entries\[0\] is not a mapping of keys"),
    ],
)
def test_a_file_that_is_no_catalog_is_refused(tmp_path, text, said):
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    with pytest.raises(CatalogError, match=said):
        Catalog.load(path)


def test_a_missing_catalog_is_named(tmp_path):
    with pytest.raises(CatalogError, match=r"absent.yaml: no such catalog"):
        Catalog.load(tmp_path / "absent.yaml")


def test_a_saved_catalog_loads_as_it_was(tmp_path):
    entry = ENTRY + f"    truth: {{path: t.fits, sha256: {SHA}}}\n    options: {{frame: 2}}\n"
    head = "name: trial\ndescription: two words\norigin: synthetic\nroot: data\n"
    catalog = Catalog.load(write(tmp_path, entry, head))
    (tmp_path / "below").mkdir()
    catalog.save(tmp_path / "below" / "copy.yaml")
    again = Catalog.load(tmp_path / "below" / "copy.yaml")
    assert again.root == "../data"
    assert [r.key for r in again.references] == [r.key for r in catalog.references]
    assert again.references[0].path.resolve() == tmp_path / "data" / "sun.fits"
    assert str(tmp_path) not in (tmp_path / "below" / "copy.yaml").read_text()


def test_a_saved_catalog_keeps_its_variable(tmp_path):
    path = write(tmp_path, head="name: trial\norigin: real\nroot: ${DATA}\n")
    Catalog.load(path, variables={"DATA": "/far"}).save(tmp_path / "copy.yaml")
    assert "root: ${DATA}" in (tmp_path / "copy.yaml").read_text()


def test_prune_keeps_the_first(tmp_path):
    frames = "".join(f"{ENTRY}    options: {{frame: {k}}}\n" for k in range(3))
    catalog = Catalog.load(write(tmp_path, frames)).prune(2)
    assert [r.options["frame"] for r in catalog.references] == [0, 1]
    with pytest.raises(CatalogError, match="cannot prune to 0 entries"):
        catalog.prune(0)


def test_problems_name_the_files_that_are_missing_or_changed(tmp_path):
    catalog = Catalog.load(write(tmp_path))
    assert catalog.problems() == ("sun.fits is missing",)
    (tmp_path / "sun.fits").write_bytes(b"moon")
    assert catalog.problems() == ("sun.fits differs from its checksum",)
    (tmp_path / "sun.fits").write_bytes(b"sun")
    assert catalog.problems() == ()


def test_checksums_are_filled_in_once_the_files_are_there(tmp_path):
    catalog = Catalog.load(write(tmp_path, ENTRY.replace(f"    sha256: {SHA}\n", "")))
    with pytest.raises(CatalogError, match=r"not fetched yet: sun.fits. Fetch"):
        catalog.with_checksums()
    (tmp_path / "sun.fits").write_bytes(b"sun")
    assert catalog.problems() == ("sun.fits has no checksum in the catalog",)
    assert catalog.with_checksums().references[0].sha256 == SHA


def test_the_key_depends_on_bytes_and_reading_not_on_the_folder():
    here = reference()
    assert reference(path=Path("/far/sun.fits"), name="x").key == here.key
    changes = (
        {"sha256": "0" * 64},
        {"instrument": "mdi"},
        {"region": "B"},
        {"options": {"frame": 1}},
        {"truth_sha256": SHA},
        {"origin": "synthetic"},
    )
    keys = {reference(**change).key for change in changes}
    assert len(keys | {here.key}) == len(changes) + 1


def test_a_reference_travels_to_another_process():
    sent = reference(options={"frame": 1})
    assert pickle.loads(pickle.dumps(sent)) == sent
    assert hash(sent) == hash(dataclasses.replace(sent))


@pytest.mark.parametrize("path", CATALOGS, ids=lambda p: p.stem)
def test_shipped_catalogs_are_well_formed_and_licensed(path):
    catalog = Catalog.load(path, variables={"SOLARXAI_REAL_DATA": "/data"})
    assert catalog.name == path.stem
    assert catalog.root == "${SOLARXAI_REAL_DATA}"
    assert all(r.licence and r.sha256 and r.origin == "real" for r in catalog.references)


def test_the_two_images_of_ar_11158_share_a_region():
    load = {p.stem: Catalog.load(p, variables={"SOLARXAI_REAL_DATA": "/"}) for p in CATALOGS}
    assert {r.region for r in load["ar11158"].references} == {"NOAA 11158"}
    assert len({r.region for r in load["real_hmi"].references}) == 3


@pytest.mark.real_data
@pytest.mark.parametrize("path", CATALOGS, ids=lambda p: p.stem)
def test_shipped_catalogs_point_at_the_bytes_they_mean(path, real_data):
    catalog = Catalog.load(path, variables={"SOLARXAI_REAL_DATA": str(real_data)})
    assert catalog.problems() == ()
