"""Active regions: what a summary says, and where its regions are at any moment."""

import astropy.units as u
import numpy as np
import pandas as pd
import pytest

from solarxai.errors import IngestError
from solarxai.events import read_srs

HEADER = "ar_noaanum,LOCATION,Carrington_long,AREA,Z,Longitude_extent,No_sunspots,MAGTYPE,date,NM"
ROW = "0,12017,N10W20,143,0150,DAO,09,14,BETA-DELTA,2014-03-29 00:30,"
NOON = np.datetime64("2014-03-29T12:00", "ns")


def written(folder, *rows):
    path = folder / "srs.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_a_row_is_read(tmp_path):
    regions = read_srs(written(tmp_path, ROW))
    entry = regions.table.iloc[0]
    assert (entry["region"], entry["latitude"], entry["longitude"]) == (12017, 10.0, 20.0)
    assert (entry["area"], entry["spots"]) == (150, 14)
    assert (entry["mcintosh"], entry["mount_wilson"]) == ("Dao", "beta-delta")
    assert (regions.quirks, regions.malformed) == ({}, ())
    assert regions.name.startswith("NOAA Solar Region Summary ")


def test_positions_hold_for_midnight_whenever_they_were_issued(tmp_path):
    late = ROW.replace("00:30", "12:20").replace("12017", "12018")
    times = read_srs(written(tmp_path, ROW, late)).table["time"]
    assert times.tolist() == [pd.Timestamp("2014-03-29")] * 2


def test_south_and_east_are_negative(tmp_path):
    entry = read_srs(written(tmp_path, ROW.replace("N10W20", "S07E65"))).table.iloc[0]
    assert (entry["latitude"], entry["longitude"]) == (-7.0, -65.0)


def test_numbers_modulo_10000_and_places_beyond_the_limb_are_told(tmp_path):
    regions = read_srs(written(tmp_path, ROW.replace("12017", "2017").replace("W20", "W93")))
    assert regions.table["region"].tolist() == [12017]
    assert regions.quirks == {"region modulo 10000": 1, "beyond the limb": 1}


def test_a_number_of_spots_in_the_wrong_column_is_found(tmp_path):
    row = "48,7948,N10W67,235,0010,BXO,07,,BETA,1996-02-28 00:30,003"
    regions = read_srs(written(tmp_path, row))
    assert regions.table["spots"].tolist() == [3]
    assert regions.quirks == {"number of spots in another column": 1}


def test_a_malformed_place_is_told(tmp_path):
    regions = read_srs(written(tmp_path, ROW, ROW.replace("N10W20", "N10")))
    assert len(regions.table) == 1
    assert "line 3: 'N10' is not a position such as N11W06" in regions.malformed[0]


def test_a_region_at_the_central_meridian_lies_where_geometry_puts_it(tmp_path):
    regions = read_srs(written(tmp_path, ROW.replace("N10W20", "N10W00")))
    place = regions.position("NOAA 12017", np.datetime64("2014-03-29", "ns"))
    # B0 = -6.72 deg and a solar radius of 960.9 arcsec on that day (Astronomical Almanac).
    assert place.Tx.arcsec == pytest.approx(0, abs=0.5)
    assert place.Ty.arcsec == pytest.approx(960.9 * np.sin(np.radians(10 + 6.72)), abs=2.5)


def test_a_region_turns_with_its_latitude(tmp_path):
    moved = []
    for latitude in ("N00", "N60"):
        regions = read_srs(written(tmp_path, ROW.replace("N10W20", f"{latitude}E00")))
        place = regions.position(12017, np.datetime64("2014-03-30T00:00", "ns"))
        turned = place.transform_to("heliographic_stonyhurst")
        moved.append(turned.lon.deg)
    # Howard et al. (1990): 2.894, -0.428, -0.370 urad/s; less the Earth's 0.99 deg a day then.
    rates = [np.degrees((2.894 - 0.428 * s - 0.370 * s * s) * 0.0864) for s in (0.0, 0.75)]
    assert moved == pytest.approx([rate - 0.99 for rate in rates], abs=0.02)


def test_a_region_keeps_to_the_surface_on_its_way(tmp_path):
    place = read_srs(written(tmp_path, ROW)).position(12017, NOON)
    assert place.transform_to("heliographic_stonyhurst").radius.to_value(u.km) == pytest.approx(
        695700, abs=1
    )


def test_the_entry_nearest_in_time_counts(tmp_path):
    next_day = ROW.replace("N10W20", "N20W34").replace("03-29", "03-30")
    regions = read_srs(written(tmp_path, ROW, next_day))
    early, late = (
        regions.position(12017, np.datetime64(f"2014-03-29T{hour}", "ns")) for hour in (11, 13)
    )
    assert late.Ty.arcsec - early.Ty.arcsec > 100


def test_a_time_may_be_finer_than_a_microsecond(tmp_path):
    regions = read_srs(written(tmp_path, ROW))
    fine, coarse = (regions.position(12017, moment) for moment in (NOON + 1, NOON))
    assert fine.Tx.arcsec == pytest.approx(coarse.Tx.arcsec, abs=1e-3)


def test_a_region_without_entry_near_that_time_is_refused(tmp_path):
    regions = read_srs(written(tmp_path, ROW))
    with pytest.raises(IngestError, match=r"srs.csv: has no entry of region 12018 within 3"):
        regions.position(12018, NOON)
    with pytest.raises(IngestError, match=r"has no entry of region 12017 within 6"):
        regions.position(12017, NOON, within=6 * u.hour)
    with pytest.raises(IngestError, match="'HARP 3' is not a NOAA active region"):
        regions.position("HARP 3", NOON)


def test_regions_near_a_point_come_nearest_first(tmp_path):
    near = ROW.replace("12017", "12018").replace("N10W20", "N03W16")
    far = ROW.replace("12017", "12021").replace("N10W20", "S15E50")
    regions = read_srs(written(tmp_path, ROW, near, far))
    place = regions.position(12017, NOON)
    found = regions.regions_near(place.Tx, place.Ty, NOON, 200 * u.arcsec)
    assert found == (12017, 12018)
    assert regions.regions_near(place.Tx, place.Ty, NOON, 10 * u.arcsec) == (12017,)
    assert len(regions.regions_near(0 * u.arcsec, 0 * u.arcsec, NOON, 1 * u.deg)) == 3


def test_what_is_behind_the_sun_is_not_near(tmp_path):
    regions = read_srs(written(tmp_path, ROW.replace("W20", "W93")))
    place = regions.position(12017, NOON)
    assert regions.regions_near(place.Tx, place.Ty, NOON, 100 * u.arcsec) == ()


def test_no_region_is_near_on_a_day_without_entries(tmp_path):
    regions = read_srs(written(tmp_path, ROW))
    year = np.datetime64("2015-03-29", "ns")
    assert regions.regions_near(0 * u.arcsec, 0 * u.arcsec, year, 1 * u.deg) == ()


def test_a_radius_that_is_no_angle_is_refused(tmp_path):
    regions = read_srs(written(tmp_path, ROW))
    with pytest.raises(u.UnitConversionError, match="not convertible"):
        regions.regions_near(0 * u.arcsec, 0 * u.arcsec, NOON, 5 * u.min)


@pytest.mark.real_data
def test_every_row_of_the_real_table_is_read(real_data):
    regions = read_srs(real_data / "events" / "SRS_data_new_19960101_20181231.csv")
    assert len(regions.table) == 33692
    assert regions.malformed == ()
    assert regions.quirks == {"number of spots in another column": 1, "beyond the limb": 453}


@pytest.mark.real_data
def test_iris_pointed_at_12017_on_29_march_2014(real_data):
    regions = read_srs(real_data / "events" / "SRS_data_new_19960101_20181231.csv")
    time = np.datetime64("2014-03-29T14:17:40", "ns")
    place = regions.position("NOAA 12017", time)
    assert np.hypot(place.Tx.arcsec - 490, place.Ty.arcsec - 280) < 50
    near = regions.regions_near(490 * u.arcsec, 280 * u.arcsec, time, 200 * u.arcsec)
    assert near == (12017, 12018)
