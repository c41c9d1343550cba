"""Units are read or refused, never guessed."""

import pytest
from astropy.io.fits import Header

from solarxai.errors import IngestError
from solarxai.instruments._units import value_unit


def unit_of(bunit=None, given=None, **options):
    header = Header() if bunit is None else Header({"BUNIT": bunit})
    return value_unit(header, given, name="a.fits", **options)


@pytest.mark.parametrize(
    ("bunit", "unit", "quantity"),
    [
        ("DN/s", "DN / s", "intensity"),
        ("ct", "ct", "intensity"),
        ("Arbitrary intensity units", "1", "intensity"),
        ("DN\\", "DN", "intensity"),
        ("Gauss", "G", "magnetic field"),
        ("Mx/cm^2", "G", "magnetic field"),
        ("cm/s", "cm / s", "velocity"),
    ],
)
def test_the_spellings_of_archives_are_understood(bunit, unit, quantity):
    assert unit_of(bunit)[:2] == (unit, quantity)


def test_an_odd_spelling_is_noted():
    assert unit_of("DN\\")[2] == "BUNIT 'DN\\\\' read as 'DN'"
    assert unit_of("DN/s")[2] == ""


def test_the_catalog_gives_what_the_header_lacks():
    assert unit_of(given="DN / s") == ("DN / s", "intensity", "BUNIT is missing: DN / s assumed")
    assert unit_of(default="DN")[0] == "DN"


def test_a_missing_unit_is_named():
    with pytest.raises(IngestError, match=r"keyword BUNIT is missing. Give `unit`"):
        unit_of()


def test_a_unit_nobody_knows_is_refused():
    with pytest.raises(IngestError, match="unit 'furlong per moon' is not one that astropy knows"):
        unit_of("furlong per moon")


def test_the_unit_of_another_quantity_is_refused():
    with pytest.raises(IngestError, match="unit 'K' is neither of intensity"):
        unit_of("K")


def test_header_and_catalog_must_agree():
    assert unit_of("DN/s", given="DN / s")[0] == "DN / s"
    with pytest.raises(IngestError, match="BUNIT is 'DN/s', but the catalog entry says unit 'G'"):
        unit_of("DN/s", given="G")
