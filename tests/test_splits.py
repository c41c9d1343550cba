"""Splits never share an active region."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from solarxai.errors import TrainingError
from solarxai.patches import check_split, split
from solarxai.schema import mock_samples
from solarxai.splits import EXCLUDED, SIDES


def samples_of(regions, labels):
    samples = mock_samples(len(regions), size=4)
    return samples.assign_coords(
        region=("sample", np.array(regions, dtype=object)),
        label=("sample", np.array(labels, dtype=object)),
    )


def sides(samples):
    return samples["split"].values.tolist()


ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["pore", "sunspot", "ambiguous"])),
    min_size=1,
    max_size=60,
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(rows=ROWS, seed=st.integers(0, 5))
def test_no_region_ever_stands_on_two_sides(rows, seed):
    regions = [f"NOAA {11000 + number}" for number, _ in rows]
    labels = [label for _, label in rows]
    used = {region for region, label in zip(regions, labels, strict=True) if label != "ambiguous"}
    samples = samples_of(regions, labels)
    if len(used) < 3:
        with pytest.raises(TrainingError, match="cannot fill 3 sides"):
            split(samples, seed=seed)
        return
    done = check_split(split(samples, seed=seed))
    where = {}
    for region, label, side in zip(regions, labels, sides(done), strict=True):
        assert (side == EXCLUDED) == (label == "ambiguous")
        if side != EXCLUDED:
            assert where.setdefault(region, side) == side
    assert set(where.values()) == set(SIDES)


def test_classes_get_their_shares_on_every_side():
    rng = np.random.default_rng(1)
    regions = [f"AR {number}" for number in range(60) for _ in range(10)]
    labels = rng.choice(["pore", "sunspot"], 600, p=[0.7, 0.3]).tolist()
    done = split(samples_of(regions, labels), fractions=(0.6, 0.2, 0.2))
    for label in ("pore", "sunspot"):
        chosen = np.array(sides(done))[np.array(labels) == label]
        shares = [np.mean(chosen == side) for side in SIDES]
        assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)


def test_every_side_gets_every_class_when_there_are_enough_regions():
    regions = [f"AR {number}" for number in range(6)]
    labels = ["pore", "pore", "pore", "sunspot", "sunspot", "sunspot"]
    done = split(samples_of(regions, labels), fractions=(0.6, 0.2, 0.2))
    for label in ("pore", "sunspot"):
        chosen = [side for side, mine in zip(sides(done), labels, strict=True) if mine == label]
        assert sorted(chosen) == sorted(SIDES)


def test_split_depends_on_the_seed_not_on_the_order_of_rows():
    samples = samples_of([f"AR {n // 2}" for n in range(40)], ["pore", "sunspot"] * 20)
    order = np.random.default_rng(0).permutation(40)
    one, other = split(samples, seed=4), split(samples.isel(sample=order), seed=4)
    assert [sides(one)[row] for row in order] == sides(other)
    assert sides(one) == sides(split(samples, seed=4))
    assert any(sides(split(samples, seed=seed)) != sides(one) for seed in range(5))


def test_spelling_of_a_region_does_not_make_it_two():
    regions = ["NOAA 11158", "noaa  11158 ", "A", "B"]
    done = split(samples_of(regions, ["pore", "sunspot", "pore", "pore"]))
    assert sides(done)[0] == sides(done)[1]


def test_side_of_no_share_stays_empty():
    regions = [f"AR {number}" for number in range(8)]
    done = split(samples_of(regions, ["pore", "sunspot"] * 4), fractions=(0.5, 0.0, 0.5))
    assert sorted(set(sides(done))) == ["test", "train"]


def test_split_by_anything_but_region_is_refused():
    with pytest.raises(TrainingError, match="a split by 'time' was asked for"):
        split(mock_samples(8, size=4), by="time")


def test_sample_without_region_is_refused():
    with pytest.raises(TrainingError, match="samples without a region: mock-00001"):
        split(samples_of(["A", " ", "B"], ["pore", "pore", "pore"]))


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0.5, 0.5)])
def test_fractions_must_be_three_shares_of_one(fractions):
    with pytest.raises(TrainingError, match="are not three shares of one"):
        split(mock_samples(12, size=4), fractions=fractions)


def test_check_split_names_the_region_on_two_sides():
    samples = samples_of(["AR 1", "AR 1", "AR 2"], ["pore", "pore", "pore"])
    column = np.array(["train", "test", "test"], dtype=object)
    with pytest.raises(TrainingError, match="two sides of the split: ar 1"):
        check_split(samples.assign_coords(split=("sample", column)))
    with pytest.raises(TrainingError, match="no column 'split'"):
        check_split(samples)
