"""A file becomes an Observation, or one sentence says why not and what to do."""

import dataclasses
import json
import os

import numpy as np
import pytest
from astropy.io import fits
from iris_files import write_raster, write_sji
from solar_files import hmi_cards, refer, write_image

from solarxai import ingest as module
from solarxai.catalog import Catalog
from solarxai.errors import IngestError
from solarxai.ingest import ingest, ingest_raster, open_observation
from solarxai.provenance import file_hash
from solarxai.synthetic.archive import write_hmi


def spotted(shape=(160, 160)):
    """Return quiet Sun of 50000 with weak granulation, one spot with a rim, one small pore."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    rng = np.random.default_rng(3)
    image = 50000 * (1 + 0.01 * rng.standard_normal(shape))
    spot = np.hypot(y - 80, x - 70)
    image[spot < 22] *= 0.75
    image[spot < 10] *= 0.2
    return image.astype(np.float32)


def test_an_image_opens(tmp_path):
    found = open_observation(refer(write_image(tmp_path / "a.fits")))
    assert found["intensity"].values[0, 1] == 50001.0
    assert found.attrs["sha256"] == file_hash(tmp_path / "a.fits")


def test_the_same_bytes_elsewhere_give_the_same_observation(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "a.fits")
    first, second = (open_observation(refer(tmp_path / f / "a.fits")) for f in ("one", "two"))
    assert first.identical(second)


def test_a_changed_file_is_refused(tmp_path):
    reference = refer(write_image(tmp_path / "a.fits"))
    with (tmp_path / "a.fits").open("r+b") as file:
        file.seek(3000)
        file.write(b"\x01")
    with pytest.raises(IngestError, match=r"a.fits: its checksum is \w{12}…, the catalog says"):
        open_observation(reference)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(IngestError, match=r"a.fits: there is no such file .* correct `root` or"):
        open_observation(refer(tmp_path / "a.fits"))


def test_a_reference_without_checksum_is_refused(tmp_path):
    reference = dataclasses.replace(refer(write_image(tmp_path / "a.fits")), sha256="")
    with pytest.raises(IngestError, match=r"a.fits: the catalog gives no checksum"):
        open_observation(reference)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.fits").touch()
    with pytest.raises(IngestError, match=r"a.fits: the file is empty"):
        open_observation(refer(tmp_path / "a.fits"))


def test_an_unknown_instrument_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(IngestError, match="Did you mean 'hmi_sharp'"):
        open_observation(refer(write_image(tmp_path / "a.fits"), "hmi_shrp"))


def test_an_image_of_nan_is_refused(tmp_path):
    path = write_image(tmp_path / "a.fits", np.full((12, 16), np.nan, dtype=np.float32))
    with pytest.raises(IngestError, match=r"a.fits: every pixel is NaN. Leave the file out"):
        open_observation(refer(path))


def test_a_flat_image_is_refused(tmp_path):
    path = write_image(tmp_path / "a.fits", np.zeros((12, 16), dtype=np.float32))
    with pytest.raises(IngestError, match=r"a.fits: every pixel has the value 0"):
        open_observation(refer(path))


@pytest.mark.parametrize("region", ["NOAA 11158", "NOAA 11159", "noaa 1158", "NOAA AR 11158"])
def test_a_region_the_header_confirms_is_kept(tmp_path, region):
    cards = hmi_cards(NOAA_AR=11158, NOAA_ARS="11158,11159")
    path = write_image(tmp_path / "a.fits", cards=cards)
    assert open_observation(refer(path, region=region)).attrs["region"] == region


def test_a_region_is_found_in_a_card_that_others_continue(tmp_path):
    many = ",".join(str(number) for number in range(11100, 11120))
    cards = hmi_cards(HARPNUM=377, OBJECT="many " * 30, NOAA_ARS=many, NOAA_AR=11100)
    path = write_image(tmp_path / "a.fits", cards=cards)
    for region in ("NOAA 11119", "HARP 377"):
        assert open_observation(refer(path, region=region)).attrs["region"] == region
    with pytest.raises(IngestError, match="says NOAA 11120, its header NOAA_AR 11100, NOAA_ARS"):
        open_observation(refer(path, region="NOAA 11120"))


def test_a_region_the_header_contradicts_is_refused(tmp_path):
    path = write_image(tmp_path / "a.fits", cards=hmi_cards(NOAA_AR=11158))
    with pytest.raises(IngestError, match=r"says NOAA 11757, its header NOAA_AR 11158. Correct"):
        open_observation(refer(path, region="NOAA 11757"))
    path = write_image(tmp_path / "b.fits", cards=hmi_cards(HARPNUM=377))
    assert open_observation(refer(path, region="HARP 377")).attrs["region"] == "HARP 377"
    with pytest.raises(IngestError, match="says HARP 401, its header HARPNUM 377"):
        open_observation(refer(path, region="HARP 401"))


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"CDELT1": 0.0}, "CDELT1 is 0 arcsec"),
        ({"BUNIT": "bananas"}, "unit 'bananas' is not one"),
        ({"T_OBS": "the 3rd of May"}, "T_OBS 'the 3rd of May' is not a time"),
        ({"CRVAL2": None}, "keyword CRVAL2 is missing"),
    ],
)
def test_the_readers_complaints_reach_the_user_with_the_file(tmp_path, cards, said):
    path = write_image(tmp_path / "a.fits", cards=hmi_cards(**cards))
    with pytest.raises(IngestError, match=f"a.fits: {said}"):
        open_observation(refer(path))


def raster_of(folder, **options):
    path = write_raster(folder / "iris_l2_20140329_140938_3860258481_raster_r00000.fits", **options)
    return refer(path, "iris_raster")


def sji_of(folder):
    return refer(write_sji(folder / "iris_l2_20140329_140938_3860258481_SJI_1400.fits"), "iris_sji")


def test_a_raster_opens_as_spectra_and_a_movie_as_frames(tmp_path):
    raster, movie = (open_observation(one) for one in (raster_of(tmp_path), sji_of(tmp_path)))
    assert raster["intensity"].dims == ("step", "slit", "wavelength")
    assert raster["time"].dims == ("step",)
    assert movie["intensity"].dims == ("frame", "y", "x")
    assert movie.attrs["observation"] == raster.attrs["observation"]


def test_a_raster_gives_a_spectrogram_an_exposure(tmp_path):
    samples = ingest_raster(raster_of(tmp_path))
    assert samples["image"].dims == ("sample", "slit", "wavelength")
    assert samples.sizes["sample"] == 4
    assert set(samples["label"].values) == {"ambiguous"}
    tally = json.loads(samples.attrs["counts"])
    assert tally["spectra"] == 4 * 6


@pytest.mark.parametrize("make", [raster_of, sji_of], ids=["raster", "movie"])
def test_spots_are_not_cut_from_spectra_or_slit_jaw_images(tmp_path, make):
    reference = make(tmp_path)
    with pytest.raises(IngestError, match=r"it shows a .*, and spots are cut from intensity"):
        ingest(reference)


def test_spectra_are_not_cut_from_slit_jaw_images_or_images(tmp_path):
    for reference in (sji_of(tmp_path), refer(write_image(tmp_path / "a.fits"))):
        with pytest.raises(IngestError, match=r"it is no raster of spectra.*such as iris_raster"):
            ingest_raster(reference)


@pytest.mark.parametrize(
    ("instrument", "make"), [("iris_sji", raster_of), ("iris_raster", sji_of), ("hmi", raster_of)]
)
def test_a_file_of_another_instrument_is_named(tmp_path, instrument, make):
    reference = dataclasses.replace(make(tmp_path), instrument=instrument)
    with pytest.raises(IngestError, match=r"iris_l2_20140329_140938_3860258481_"):
        open_observation(reference)


def test_a_raster_without_a_value_is_refused(tmp_path):
    empty = np.full((2, 6, 633), -200, np.float32)
    with pytest.raises(IngestError, match=r"r00000\.fits"):
        open_observation(raster_of(tmp_path, values=empty))


def test_a_flare_list_and_a_table_of_regions_are_files(tmp_path):
    reference = raster_of(tmp_path)
    (tmp_path / "flares.csv").write_text("no list\n")
    for name in ("flares", "regions"):
        with pytest.raises(IngestError, match=r"flares\.csv"):
            ingest_raster(reference, **{name: tmp_path / "flares.csv"})


def write_truth(path, *, shape=(12, 16), planes=("UMBRA", "PENUMBRA", "PORE"), table=True):
    units = [fits.PrimaryHDU()]
    units += [fits.ImageHDU(np.full(shape, 0.25), name=name) for name in planes]
    columns = [
        fits.Column(name="X", format="D", array=[7.5]),
        fits.Column(name="Y", format="D", array=[5.5]),
        fits.Column(name="LABEL", format="8A", array=["sunspot"]),
        fits.Column(name="PAIR", format="J", array=[3]),
    ]
    if table:
        units.append(fits.BinTableHDU.from_columns(columns, name="STRUCTURES"))
    fits.HDUList(units).writeto(path)
    return path


def with_truth(folder, truth, **changes):
    reference = refer(write_image(folder / "a.fits"))
    known = {"origin": "synthetic", "truth": truth, "truth_sha256": file_hash(truth)}
    return dataclasses.replace(reference, **(known | changes))


def test_the_truth_of_a_synthetic_image_comes_along(tmp_path):
    found = open_observation(with_truth(tmp_path, write_truth(tmp_path / "t.fits")))
    for word in ("umbra", "penumbra", "pore"):
        assert found[f"truth_{word}"].dtype == np.float32
        assert (found[f"truth_{word}"].values == 0.25).all()
    assert json.loads(found.attrs["structures"]) == [
        {"x": 7.5, "y": 5.5, "label": "sunspot", "pair": 3}
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"planes": ("UMBRA",)}, "lacks the planes umbra, penumbra, pore or the table STRUCTURES"),
        ({"table": False}, "lacks the planes"),
        ({"shape": (4, 4)}, "umbra, penumbra, pore differ from the image's shape"),
    ],
)
def test_a_truth_of_another_form_is_refused(tmp_path, options, said):
    truth = write_truth(tmp_path / "t.fits", **options)
    with pytest.raises(IngestError, match=f"truth of a.fits: .*{said}"):
        open_observation(with_truth(tmp_path, truth))


def test_a_truth_that_changed_or_is_missing_is_refused(tmp_path):
    truth = write_truth(tmp_path / "t.fits")
    reference = with_truth(tmp_path, truth, truth_sha256="0" * 64)
    with pytest.raises(IngestError, match=r"truth of a.fits: its checksum is"):
        open_observation(reference)
    truth.unlink()
    with pytest.raises(IngestError, match=r"truth of a.fits: there is no such file"):
        open_observation(reference)


def test_ingest_gives_the_samples_of_an_image(tmp_path):
    path = write_image(tmp_path / "a.fits", spotted(), hmi_cards(CRPIX1=80.5, CRPIX2=80.5))
    samples = ingest(refer(path), shape=(32, 32), scale_mm=1.0)
    assert samples.sizes["sample"] == 1
    assert samples["image"].shape == (1, 32, 32)
    assert samples["label"].values.tolist() == ["sunspot"]
    assert samples["region"].values.tolist() == ["AR"]


def test_a_synthetic_scene_opens_with_its_truth(tmp_path):
    (reference,) = Catalog.load(write_hmi(tmp_path, n=1)).references
    found = open_observation(reference)
    assert found.attrs["origin"] == "synthetic"
    assert found["time"].values.dtype == np.dtype("datetime64[ns]")
    centre = [s for s in json.loads(found.attrs["structures"]) if s["role"] == "centre"]
    assert len(centre) == 1
    x, y = round(centre[0]["x"]), round(centre[0]["y"])
    covered = found["truth_umbra"] + found["truth_penumbra"] + found["truth_pore"]
    assert float(covered[y - 3 : y + 4, x - 3 : x + 4].max()) == 1.0


def test_a_magnetogram_opens_but_gives_no_samples(tmp_path):
    reference = refer(write_image(tmp_path / "a.fits", cards=hmi_cards(BUNIT="Gauss")))
    assert open_observation(reference).attrs["quantity"] == "magnetic field"
    with pytest.raises(IngestError, match=r"a.fits: it shows a magnetic field, and spots are cut"):
        ingest(reference)


def test_the_planes_of_the_truth_are_those_of_the_vocabulary():
    assert module.TRUTH_PLANES == ("umbra", "penumbra", "pore")


@pytest.mark.real_data
def test_every_file_of_the_shipped_catalogs_opens(real_data, pytestconfig):
    for path in sorted((pytestconfig.rootpath / "data_catalogs").glob("*.yaml")):
        catalog = Catalog.load(path, variables=dict(os.environ))
        for reference in catalog.references:
            assert open_observation(reference)["valid"].values.any()


@pytest.mark.real_data
def test_the_sharp_gives_samples(real_data, pytestconfig):
    catalog = Catalog.load(pytestconfig.rootpath / "data_catalogs" / "ar11158.yaml")
    samples = ingest(catalog.references[0])
    labels = samples["label"].values.tolist()
    assert labels.count("sunspot") >= 3
    assert set(samples["region"].values.tolist()) == {"NOAA 11158"}
