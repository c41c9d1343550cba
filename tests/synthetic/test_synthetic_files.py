import numpy as np
import pytest
import sunpy.map
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time

from solarxai.catalog import Catalog
from solarxai.errors import SynthesisError
from solarxai.ingest import open_observation
from solarxai.synthetic import draw_scene, render, write_catalog, write_hmi, write_scene
from solarxai.synthetic.full_disk import draw_disk, render_disk
from solarxai.synthetic.hmi import disk_header, scene_header
from solarxai.synthetic.scenes import MEMBERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic")
    write_hmi(out, n=6, seed=3)
    return out


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_in_any_folder_and_order(folder, tmp_path):
    for index in reversed(range(6)):
        write_scene(tmp_path / "elsewhere", index=index, seed=3)
    write_catalog(tmp_path / "elsewhere", n=6, seed=3)
    assert contents(tmp_path / "elsewhere") == contents(folder)


def test_sunpy_opens_an_image_with_its_place_and_time(folder):
    scene = draw_scene(3, 1)
    image = sunpy.map.Map(folder / "scene_00001.fits")
    assert image.instrument == "HMI SIDE1"
    assert str(image.unit) == "DN / s"
    assert image.coordinate_frame.name == "helioprojective"
    place = image.pixel_to_world(
        *np.array([scene.view.column, scene.view.row]) * image.dimensions.x.unit
    )
    assert place.Tx.to_value("arcsec") == pytest.approx(scene.view.x, abs=1e-6)
    assert place.Ty.to_value("arcsec") == pytest.approx(scene.view.y, abs=1e-6)


def test_a_structure_lies_where_the_header_says_on_the_sun(folder):
    # the surface point 5 Mm west and 3 Mm north of the centre, by way of sunpy's coordinates
    scene = draw_scene(3, 1)
    image = sunpy.map.Map(folder / "scene_00001.fits")
    column, row = scene.view.locate(5, 3)
    unit = image.dimensions.x.unit
    centre = image.pixel_to_world(scene.view.column * unit, scene.view.row * unit)
    point = image.pixel_to_world(column * unit, row * unit)
    surface = [
        SkyCoord(p, distance=None).transform_to("heliographic_stonyhurst") for p in (centre, point)
    ]
    north = np.radians((surface[1].lat - surface[0].lat).to_value("deg")) * 696
    west = np.radians((surface[1].lon - surface[0].lon).to_value("deg")) * 696
    assert north == pytest.approx(3, abs=0.1)
    assert float(west * np.cos(surface[0].lat)) == pytest.approx(5, abs=0.1)


def test_the_times_differ_by_the_leap_seconds():
    for index in range(0, 20 * MEMBERS, MEMBERS):
        header = scene_header(draw_scene(0, index))
        tai = Time(header["T_OBS"][:-4].replace(".", "-", 2).replace("_", "T"), scale="tai")
        assert abs((tai - Time(header["DATE-OBS"], scale="utc")).sec) < 1e-3
        written = Time(tai.isot, scale="utc") - Time(header["DATE-OBS"], scale="utc")
        assert round(written.sec) == (34 if tai < Time("2012-07-01") else 35)
        assert 2011 <= tai.datetime.year <= 2015


def test_the_truth_file_holds_what_was_rendered(folder):
    image = render(draw_scene(3, 2))
    with fits.open(folder / "scene_00002.truth.fits") as units:
        for name, plane in image.truth.items():
            assert np.array_equal(units[name.upper()].data, plane)
        table = units["STRUCTURES"].data
        assert table["label"].tolist() == [row.label for row in image.structures]
        assert table["radius_mm"].tolist() == [row.radius_mm for row in image.structures]


def test_the_catalog_leads_to_observations_with_truth(folder):
    catalog = Catalog.load(folder / "catalog.yaml")
    assert catalog.origin == "synthetic"
    assert not catalog.problems()
    assert len({reference.region for reference in catalog.references}) == 2
    observation = open_observation(catalog.references[0])
    assert observation["truth_penumbra"].dims == ("y", "x")
    assert observation.attrs["origin"] == "synthetic"
    assert str(folder) not in (folder / "catalog.yaml").read_text()


def test_an_image_that_is_not_written_cannot_be_catalogued(folder):
    with pytest.raises(SynthesisError, match=r"scene_00006\.fits has not been written"):
        write_catalog(folder, n=7, seed=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "0 images were asked for"),
        ({"n": 1, "kind": "disk"}, "kind 'disk' is not one of cutout, full_disk"),
        ({"n": 1, "kind": "full_disk", "size": 160}, "size 160 is less than 512"),
        ({"n": 1, "kind": "full_disk", "mode": "matched"}, "full disks cannot be drawn in mode"),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_file_is_made(tmp_path, options, message):
    with pytest.raises(SynthesisError, match=message):
        write_hmi(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_of_a_negative_index_is_refused():
    with pytest.raises(SynthesisError, match="index -1 is negative"):
        draw_disk(0, -1)


def test_a_full_disk_darkens_to_the_limb_and_has_no_data_beyond():
    disk = draw_disk(0, 0, size=512, clutter=False)
    image = render_disk(disk)
    y, x = np.indices(image.counts.shape) - 255.5
    radius = np.hypot(y, x) * disk.centre.plate_scale / disk.view.observer.radius_arcsec
    assert np.isnan(image.counts[radius > 1.001]).all()
    assert np.isfinite(image.counts[radius < 0.999]).all()
    ratio = np.median(image.counts[(radius > 0.79) & (radius < 0.81)]) / np.median(
        image.counts[radius < 0.1]
    )
    # the polynomial of Neckel & Labs at mu = 0.6
    assert ratio == pytest.approx(0.7974, abs=0.008)


def test_regions_of_a_full_disk_stand_at_their_heliographic_positions(tmp_path):
    write_hmi(tmp_path, n=1, kind="full_disk", size=1024, seed=2, clutter=False)
    disk = draw_disk(2, 0, clutter=False)
    image = sunpy.map.Map(tmp_path / "scene_00000.fits")
    unit = image.dimensions.x.unit
    for view in disk.views:
        place = image.pixel_to_world(view.column * unit, view.row * unit)
        assert place.Tx.to_value("arcsec") == pytest.approx(view.x, abs=0.05)
        assert place.Ty.to_value("arcsec") == pytest.approx(view.y, abs=0.05)
    reference = Catalog.load(tmp_path / "catalog.yaml").references[0]
    assert open_observation(reference).attrs["region"] == "synthetic disk 0"


def test_every_structure_of_a_full_disk_is_in_its_truth():
    disk = draw_disk(1, 0)
    image = render_disk(disk)
    assert 3 <= len(disk.groups) <= 7
    assert len(image.structures) >= len(disk.groups)
    assert max(plane.max() for plane in image.truth.values()) <= 1
    for row in image.structures:
        if row.label == "sunspot" and row.umbra_radius_mm > 2:
            assert image.truth["umbra"][round(row.y), round(row.x)] > 0


def test_the_header_of_a_full_disk_is_upside_down_as_hmis_is():
    assert disk_header(draw_disk(0, 0))["CROTA2"] == pytest.approx(179.93, abs=0.1)
