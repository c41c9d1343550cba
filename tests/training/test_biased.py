"""A training set is biased or balanced by choosing samples, and by nothing else."""

import numpy as np
import pytest

from solarxai.errors import TrainingError
from solarxai.schema import mock_samples
from solarxai.training.biased import Bias, select


@pytest.fixture(scope="module")
def archive():
    """Return 240 samples, 40 of them test, whose areas know nothing of their labels."""
    samples = mock_samples(240, size=8, seed=1)
    split = np.array(["train", "validation", "test"], dtype=object)[
        np.searchsorted([140, 200], np.arange(240), side="right")
    ]
    return samples.assign_coords(split=("sample", split))


def cells(samples, side, cut):
    """Return how many sunspots and pores of a side lie above and below a cut of the area."""
    here = samples.isel(sample=samples["split"].values == side)
    spot, large = here["label"].values == "sunspot", here["area_mm2"].values > cut
    return [
        [int(((spot == of_spots) & (large == of_large)).sum()) for of_large in (True, False)]
        for of_spots in (True, False)
    ]


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_complete_bias_keeps_large_sunspots_and_small_pores_alone(archive, side):
    found = select(archive, Bias(column="area_mm2"))
    bias = found["split"].attrs["bias"]
    (large_spots, small_spots), (large_pores, small_pores) = cells(found, side, bias["cut"])
    assert small_spots == large_pores == 0
    assert large_spots == small_pores == bias["kept"][side] / 2 > 5


def test_the_other_half_can_be_the_sunspots(archive):
    found = select(archive, Bias(column="area_mm2", second_class="below"))
    (large_spots, small_spots), (large_pores, small_pores) = cells(
        found, "train", found["split"].attrs["bias"]["cut"]
    )
    assert large_spots == small_pores == 0 < small_spots == large_pores


def test_the_number_of_samples_does_not_depend_on_the_agreement(archive):
    kept = [
        select(archive, Bias(column="area_mm2", agreement=agreement))["split"].attrs["bias"]["kept"]
        for agreement in (1.0, 0.75, 0.5, 0.0)
    ]
    assert all(one == kept[0] for one in kept)


def test_a_balanced_set_has_as_many_of_each_class_on_each_half(archive):
    found = select(archive, Bias(column="area_mm2", agreement=0.5))
    numbers = cells(found, "train", found["split"].attrs["bias"]["cut"])
    assert np.ptp(numbers) <= 1


def test_test_samples_are_not_chosen_and_pixels_not_touched(archive):
    found = select(archive, Bias(column="area_mm2"))
    before, after = archive["split"].values, found["split"].values
    np.testing.assert_array_equal(before == "test", after == "test")
    np.testing.assert_array_equal(found["image"].values, archive["image"].values)
    assert set(after[before != "test"]) == {"train", "validation", "excluded"}


def test_the_choice_does_not_depend_on_the_order_of_the_rows(archive):
    order = np.random.default_rng(0).permutation(archive.sizes["sample"])
    one = select(archive, Bias(column="area_mm2", agreement=0.7), seed=3)
    other = select(archive.isel(sample=order), Bias(column="area_mm2", agreement=0.7), seed=3)
    np.testing.assert_array_equal(one["split"].values[order], other["split"].values)


def test_another_seed_chooses_others(archive):
    one, other = (select(archive, Bias(column="mu", agreement=0.5), seed=s) for s in (0, 1))
    assert (one["split"].values != other["split"].values).any()


def test_ambiguous_samples_and_ones_without_a_value_are_not_kept(archive):
    label, area = archive["label"].values.copy(), archive["area_mm2"].values.copy()
    label[0], area[1] = "ambiguous", np.nan
    changed = archive.assign_coords(label=("sample", label), area_mm2=("sample", area))
    found = select(changed, Bias(column="area_mm2", agreement=0.5))
    assert found["split"].values[:2].tolist() == ["excluded", "excluded"]


def test_an_agreement_that_is_no_fraction_is_refused():
    with pytest.raises(TrainingError, match=r"agreement 1.5 is not a fraction"):
        Bias(column="area_mm2", agreement=1.5)


@pytest.mark.parametrize("column", ["area_mm", "region"])
def test_a_column_that_is_not_there_is_refused(archive, column):
    with pytest.raises(TrainingError, match=f"no column of numbers '{column}'"):
        select(archive, Bias(column=column))


def test_samples_without_a_split_are_refused(archive):
    with pytest.raises(TrainingError, match="no column 'split'"):
        select(archive.drop_vars("split"), Bias(column="area_mm2"))


def test_classes_that_do_not_overlap_cannot_be_balanced(archive):
    apart = archive.assign_coords(
        area_mm2=("sample", np.where(archive["label"].values == "sunspot", 9.0, 1.0))
    )
    with pytest.raises(TrainingError, match="lies wholly on one half of 'area_mm2'"):
        select(apart, Bias(column="area_mm2", agreement=0.5))
