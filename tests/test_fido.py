"""What Fido found becomes a catalog; the tables were recorded, nothing is fetched here."""

from pathlib import Path

import pytest
from astropy.table import Table
from sunpy.net import Fido
from sunpy.net.base_client import QueryResponseTable
from sunpy.net.fido_factory import UnifiedResponse

from solarxai.catalog import Catalog
from solarxai.errors import CatalogError
from solarxai.fido import catalog_from_fido, search_fido
from solarxai.provenance import file_hash

RECORDED = Path(__file__).parent / "data"


def table(name, rows=slice(None)):
    return QueryResponseTable(Table.read(RECORDED / f"{name}.ecsv")[rows])


def test_rows_with_urls_become_entries(tmp_path):
    catalog = catalog_from_fido(table("fido_mdi"), name="mdi", folder=tmp_path, region="disk 1")
    first, second = catalog.references
    assert first.name == "fd_M_96m_01d.5766.0000.fits"
    assert first.url == "https://archive.example/mdi/fd_M_96m_01d.5766.0000.fits"
    assert (first.instrument, first.region, first.origin) == ("mdi", "disk 1", "real")
    assert first.path == tmp_path / first.name
    assert (first.sha256, second.name) == ("", "fd_M_96m_01d.5766.0001.fits")
    assert catalog.source == "archive.example"


def test_files_that_are_there_get_a_checksum_and_the_catalog_survives_saving(tmp_path):
    file = tmp_path / "fd_M_96m_01d.5766.0000.fits"
    file.write_bytes(b"sun")
    catalog = catalog_from_fido(table("fido_mdi"), name="mdi", folder=tmp_path, region="disk 1")
    catalog.save(tmp_path / "mdi.yaml")
    again = Catalog.load(tmp_path / "mdi.yaml")
    assert [r.sha256 for r in again.references] == [file_hash(file), ""]
    assert [r.url for r in again.references] == [r.url for r in catalog.references]


def test_regions_come_from_the_rows(tmp_path):
    catalog = catalog_from_fido(table("fido_jsoc"), name="sharps", folder=tmp_path)
    assert [r.region for r in catalog.references] == ["NOAA 11158", "HARP 401"]
    assert {r.instrument for r in catalog.references} == {"hmi_sharp"}


def test_several_tables_of_one_search_are_joined(tmp_path):
    found = UnifiedResponse(table("fido_mdi"), table("fido_jsoc"))
    catalog = catalog_from_fido(found, name="both", folder=tmp_path, region="A")
    assert [r.instrument for r in catalog.references] == ["mdi", "mdi", "hmi_sharp", "hmi_sharp"]
    assert {r.region for r in catalog.references} == {"A"}


def test_archives_that_tell_no_file_name_need_the_fetched_files(tmp_path):
    found = table("fido_vso")
    with pytest.raises(
        CatalogError, match=r"names no FITS file in its row .* give them as `files`"
    ):
        catalog_from_fido(found, name="hmi", folder=tmp_path, region="A")
    files = [tmp_path / "b.fits", tmp_path / "a.fits"]
    catalog = catalog_from_fido(found, name="hmi", folder=tmp_path, region="A", files=files)
    assert [r.name for r in catalog.references] == ["b.fits", "a.fits"]
    assert {r.instrument for r in catalog.references} == {"hmi"}


@pytest.mark.parametrize("files", [["a.fits"], ["a.fits", "/elsewhere/b.fits"]])
def test_the_fetched_files_must_be_one_a_row_below_the_folder(tmp_path, files):
    paths = [tmp_path / file for file in files]
    with pytest.raises(CatalogError, match=r"\d files, 1 of them below .*, for 2 rows"):
        catalog_from_fido(table("fido_vso"), name="x", folder=tmp_path, region="A", files=paths)


def test_a_row_without_region_needs_one(tmp_path):
    with pytest.raises(CatalogError, match=r"does not tell its active region. Give `region`"):
        catalog_from_fido(table("fido_mdi"), name="mdi", folder=tmp_path)


def test_an_instrument_without_reader_needs_one(tmp_path):
    rows = table("fido_mdi")
    rows["Instrument"] = "EIT"
    with pytest.raises(CatalogError, match="no reader is known for the instrument EIT"):
        catalog_from_fido(rows, name="eit", folder=tmp_path, region="A")
    catalog = catalog_from_fido(rows, name="eit", folder=tmp_path, region="A", instrument="generic")
    assert catalog.references[0].instrument == "generic"


def test_an_empty_search_is_refused(tmp_path):
    with pytest.raises(CatalogError, match=r"the search found no file. Widen its time"):
        catalog_from_fido(table("fido_mdi", slice(0, 0)), name="x", folder=tmp_path)


def test_a_search_asks_for_time_instrument_and_quantity(monkeypatch):
    asked = []
    monkeypatch.setattr(Fido, "search", lambda *query: asked.extend(query) or UnifiedResponse())
    assert len(search_fido(("2011-02-15", "2011-02-16"), instrument="mdi")) == 0
    time, instrument, physobs = asked
    assert time.start.isot.startswith("2011-02-15")
    assert (instrument.value, physobs.value) == ("mdi", "intensity")
