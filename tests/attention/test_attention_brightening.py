"""The statement of the study as a number: hits, what chance reaches, and what has no answer."""

import astropy.units as u
import numpy as np
import pytest

from solarxai.attention import brightening, slit_agreement
from solarxai.errors import ContractError
from solarxai.schema import mock_spectrograms

SLITS = 40
ARCSEC = 0.33 * (np.arange(SLITS) - (SLITS - 1) / 2)


def preflare(n):
    """Return `n` observations of one raster each, all flaring an hour after their begin."""
    made = mock_spectrograms(8 * n, slits=SLITS, length=60)
    days = np.arange(8 * n) // 8
    onset = [f"2014-01-{1 + day:02d}T01:00:00" for day in days]
    return made.assign_coords(
        flare_onset=("sample", np.array(onset, dtype=object)),
        wcs_crpix2=("sample", np.full(8 * n, (SLITS + 1) / 2)),
    )


def looking_at(samples, places, with_maps):
    """Return the samples with maps whose maximum is at a position of the slit, an observation."""
    where = np.repeat(places, 8)[:, None, None]
    return with_maps(samples, np.exp(-np.abs(np.arange(SLITS)[None, :, None] - where)))


def movies_of(samples, places, slit_jaw):
    names = dict.fromkeys(samples["observation"].values)
    return {
        name: slit_jaw(f"2014-01-{1 + i:02d}T01:00", 30, bright=(4.0, ARCSEC[place]))
        for i, (name, place) in enumerate(zip(names, places, strict=True))
    }


def test_the_flare_is_found_where_it_brightens(slit_jaw):
    samples = preflare(1)
    movie = slit_jaw("2014-01-01T01:00", 30, bright=(4.0, ARCSEC[29]))
    window = np.datetime64("2014-01-01T01:00", "ns"), np.datetime64("2014-01-01T01:30", "ns")
    found = brightening(samples, movie, window)
    assert int(found.argmax("slit")) == 29
    assert found.attrs == {"units": "DN / s", "frames": 61, "missing": 0.0}
    saturated = movie.assign(intensity=movie["intensity"].where(movie["intensity"] < 20))
    found = brightening(samples, saturated, window)
    assert found.attrs["missing"] > 0
    assert 0 < abs(int(found.argmax("slit")) - 29) <= 4


def test_attention_at_the_flare_is_a_hit_beyond_chance(slit_jaw, with_maps):
    places = [4, 9, 14, 20, 25, 30, 35]
    samples = looking_at(preflare(7), places, with_maps)
    found = slit_agreement(samples, movies_of(samples, places, slit_jaw), "gradient",
                           within=1 * u.arcsec)  # fmt: skip
    assert found.fraction.value == 1
    assert found.fraction.n_groups == 7
    assert found.fraction.low < 0.6
    for one, place in zip(found.meetings, places, strict=True):
        assert one.hit
        assert one.attention == pytest.approx(0.33 * place, abs=1e-3)
        assert one.distance <= 0.34
        assert (one.exposures, one.frames, one.reason) == (8, 61, "")
    chances = [one.chance for one in found.meetings]
    assert found.chance == pytest.approx(np.mean(chances))
    assert found.chance == pytest.approx(7 / 39, abs=0.02)
    assert found.p_chance == pytest.approx(np.prod(chances))
    assert found.p_shuffled < 0.01
    assert str(found).startswith("in 1.000 [")


def test_attention_always_in_the_middle_is_not_taken_for_foresight(slit_jaw, with_maps):
    middle = [20] * 5
    samples = looking_at(preflare(5), middle, with_maps)
    found = slit_agreement(samples, movies_of(samples, middle, slit_jaw), "gradient",
                           within=1 * u.arcsec, n_shuffles=99)  # fmt: skip
    assert found.fraction.value == 1
    assert found.p_chance < 0.01
    assert (found.shuffled, found.p_shuffled) == (1, 1)


def test_attention_elsewhere_is_no_hit(slit_jaw, with_maps):
    samples = looking_at(preflare(4), [3, 5, 7, 9], with_maps)
    found = slit_agreement(samples, movies_of(samples, [33, 35, 30, 36], slit_jaw), "gradient")
    assert found.fraction.value == 0
    assert found.p_chance == 1
    assert [round(one.distance / 0.33) for one in found.meetings] == [30, 30, 23, 27]


def test_only_exposures_before_the_onset_count(slit_jaw, with_maps):
    samples = looking_at(preflare(1), [10], with_maps)
    late = samples.assign_coords(
        flare_onset=("sample", np.array(["2014-01-01T00:00:20"] * 8, dtype=object))
    )
    movie = slit_jaw("2014-01-01T00:00", 31, bright=(0.0, ARCSEC[10]))
    found = slit_agreement(late, {"mock-00000": movie}, "gradient")
    assert found.meetings[0].exposures == 3
    assert np.isnan(found.shuffled)
    assert np.isnan(found.fraction.low)


def test_a_position_kept_in_few_exposures_is_no_maximum(slit_jaw, with_maps):
    samples = looking_at(preflare(1), [10], with_maps)
    samples["gradient"][2:, 30] = np.nan
    samples["gradient"][:2, 30] = 9.0
    movies = movies_of(samples, [10], slit_jaw)
    assert slit_agreement(samples, movies, "gradient").meetings[0].hit
    lenient = slit_agreement(samples, movies, "gradient", least_kept=0.2)
    assert lenient.meetings[0].attention == pytest.approx(0.33 * 30, abs=1e-3)


def test_what_cannot_be_answered_is_told_with_its_reason(slit_jaw, with_maps):
    samples = looking_at(preflare(6), [10] * 6, with_maps)
    onset = samples["flare_onset"].values.copy()
    onset[:8] = ""
    onset[8:16] = "2014-01-01T22:00:00"
    movies = movies_of(samples, [10] * 6, slit_jaw)
    del movies["mock-00002"]
    movies["mock-00003"] = slit_jaw("2014-01-04T00:00", 62, bright=(4.0, 0.0))
    movies["mock-00004"] = slit_jaw("2014-01-05T01:20", 30, bright=(4.0, 0.0))
    movies["mock-00005"] = slit_jaw("2014-01-06T01:00", 30, bright=(4.0, 0.0), centre=(400.0, 0.0))
    samples = samples.assign_coords(flare_onset=("sample", onset))
    found = slit_agreement(samples, movies, "gradient")
    assert found.fraction is None
    assert list(found.unanswered.values()) == [
        "no flare onset is known",
        "no exposure is earlier than the flare at 2014-01-01T22:00:00",
        "there are no slit-jaw images",
        "the slit-jaw images end at 2014-01-04T01:02:00, the flare begins at 2014-01-04T01:00:00",
        "the slit-jaw images begin at 2014-01-05T01:20:00, the flare at 2014-01-05T01:00:00",
        "the slit does not cross the images of movie.fits",
    ]
    assert str(found) == "no observation of 6 can be answered"
    record = found.record()
    assert record["fraction"] is None
    assert len(record["meetings"]) == 6
    with pytest.raises(ContractError, match="within is 0"):
        slit_agreement(samples, movies, "gradient", within=0 * u.arcsec)
    with pytest.raises(ContractError, match=r"least_kept is 2\. Give a part from 0 to 1"):
        slit_agreement(samples, movies, "gradient", least_kept=2)


def test_no_common_position_and_a_gap_in_the_images_are_told(slit_jaw, with_maps):
    samples = looking_at(preflare(2), [10, 10], with_maps)
    samples["gradient"][:8] = np.nan
    movies = movies_of(samples, [10, 10], slit_jaw)
    gap = slit_jaw("2014-01-02T00:00", 120, bright=(4.0, 0.0))
    outside = (gap["time"] < np.datetime64("2014-01-02T01:00")) | (
        gap["time"] > np.datetime64("2014-01-02T01:30")
    )
    movies["mock-00001"] = gap.isel(frame=np.flatnonzero(outside))
    assert list(slit_agreement(samples, movies, "gradient").unanswered.values()) == [
        "no position of the slit has both an attention and an emission",
        "no slit-jaw image is of the flare at 2014-01-02T01:00:00",
    ]
