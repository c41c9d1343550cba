"""Splits never share an active region, unless they say that they leak."""

from datetime import timedelta

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from solarxai.errors import TrainingError
from solarxai.patches import check_split, split
from solarxai.schema import mock_samples
from solarxai.splits import EXCLUDED, LEAKS, SIDES, folds, naive_split


def samples_of(regions, labels, *, hours=None):
    samples = mock_samples(len(regions), size=4)
    if hours is not None:
        start = np.datetime64("2014-01-01", "ns")
        time = start + np.array(hours) * np.timedelta64(1, "h")
        samples = samples.assign_coords(time=("sample", time))
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


def test_no_test_sample_stays_within_the_gap_of_a_training_sample():
    regions, labels = ["A", "B", "C"] * 20, ["pore", "sunspot"] * 30
    hours = np.repeat(np.arange(20) * 10, 3) + np.tile([0, 4, 6], 20)
    samples = samples_of(regions, labels, hours=hours)
    plain = split(samples, seed=1)
    train = hours[np.array(sides(plain)) == "train"]
    for gap in (0, 2, 3, 4, 5):
        hypothetical = [
            side == "test" and np.abs(train - hour).min() <= gap
            for side, hour in zip(sides(plain), hours, strict=True)
        ]
        if sum(hypothetical) == 20:
            with pytest.raises(TrainingError, match="every test sample lies within"):
                split(samples, seed=1, gap=timedelta(hours=gap))
            continue
        done = split(samples, seed=1, gap=timedelta(hours=gap))
        expected = np.where(hypothetical, EXCLUDED, sides(plain))
        assert sides(done) == expected.tolist()
        assert done["split"].attrs == {
            "by": "region",
            "gap_s": gap * 3600,
            "excluded_by_gap": sum(hypothetical),
        }


def test_a_gap_that_swallows_the_test_side_is_refused():
    samples = samples_of(["A", "B", "C"], ["pore"] * 3, hours=[0, 1, 2])
    with pytest.raises(TrainingError, match="every test sample lies within 1 day"):
        split(samples, gap=timedelta(days=1))


def test_a_negative_gap_is_refused():
    with pytest.raises(TrainingError, match=r"the gap .* is negative"):
        split(mock_samples(16, size=4), gap=timedelta(seconds=-1))


FOLD_ROWS = st.lists(
    st.tuples(
        st.integers(0, 11), st.sampled_from(["pore", "sunspot", "ambiguous"]), st.integers(0, 300)
    ),
    min_size=12,
    max_size=80,
)


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(
    rows=FOLD_ROWS, k=st.integers(3, 5), gap=st.integers(0, 12), seed=st.integers(0, 3)
)
def test_folds_test_every_region_once_share_none_and_keep_the_gap(rows, k, gap, seed):
    regions = np.array([f"NOAA {11000 + number}" for number, _, _ in rows])
    labels = np.array([label for _, label, _ in rows])
    hours = np.array([hour for _, _, hour in rows])
    used = labels != "ambiguous"
    samples = samples_of(regions.tolist(), labels.tolist(), hours=hours)
    reach = timedelta(hours=gap)
    try:
        made = folds(samples, k, gap=reach, seed=seed)
    except TrainingError as refused:
        lacking = "would have the samples" in str(refused)
        assert lacking or len(set(regions[used])) < k
        hypothesis.assume(False)
    assert len(made) == k
    tested, validated = [], []
    for one in made:
        check_split(one)
        column = np.array(sides(one))
        assert (column[~used] == EXCLUDED).all()
        dropped = used & (column == EXCLUDED)
        assert one["split"].attrs["excluded_by_gap"] == dropped.sum()
        train = hours[column == "train"]
        distance = np.abs(hours[:, None] - train).min(axis=1)
        assert (distance[column == "test"] > gap).all()
        assert (distance[dropped] <= gap).all()
        on_test = set(regions[(column == "test") | dropped])
        assert on_test.isdisjoint(regions[(column == "train") | (column == "validation")])
        tested += sorted(on_test)
        validated += sorted(set(regions[column == "validation"]))
        for side in SIDES:
            assert set(labels[column == side]) == set(labels[used])
    assert sorted(tested) == sorted(validated) == sorted(set(regions[used]))


def test_folds_are_stratified_by_class():
    rng = np.random.default_rng(3)
    regions = [f"AR {number}" for number in range(50) for _ in range(8)]
    labels = np.repeat(rng.choice(["pore", "sunspot"], 50, p=[0.6, 0.4]), 8)
    for one in folds(samples_of(regions, labels.tolist()), 5):
        for label in ("pore", "sunspot"):
            chosen = np.array(sides(one))[labels == label]
            shares = [np.mean(chosen == side) for side in SIDES]
            assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.06)


def test_folds_depend_on_the_seed_not_on_the_order_of_rows():
    samples = samples_of([f"AR {n // 2}" for n in range(40)], ["pore", "sunspot"] * 20)
    order = np.random.default_rng(0).permutation(40)
    one, other = folds(samples, 4, seed=2), folds(samples.isel(sample=order), 4, seed=2)
    for mine, yours in zip(one, other, strict=True):
        assert [sides(mine)[row] for row in order] == sides(yours)
    assert any(sides(folds(samples, 4, seed=s)[0]) != sides(one[0]) for s in range(5))


@pytest.mark.parametrize("k", [2, 5])
def test_too_few_or_too_many_folds_are_refused(k):
    samples = samples_of(["A", "B", "C", "D"], ["pore", "sunspot"] * 2)
    with pytest.raises(TrainingError, match=f"4 regions .* cannot make {k} folds"):
        folds(samples, k)


def test_folds_by_anything_but_region_are_refused():
    with pytest.raises(TrainingError, match="a split by 'observation' was asked for"):
        folds(mock_samples(16, size=4), 3, by="observation")


def test_a_fold_that_lacks_a_class_is_refused():
    samples = samples_of(["A", "B", "C"], ["pore", "sunspot", "sunspot"])
    with pytest.raises(TrainingError, match=r"would have the samples \{'pore': 1, 'sunspot': 0\}"):
        folds(samples, 3)


def test_a_gap_that_takes_a_class_from_a_fold_is_refused():
    samples = samples_of([f"AR {n}" for n in range(6)], ["pore", "sunspot"] * 3, hours=range(6))
    assert len(folds(samples, 3)) == 3
    with pytest.raises(TrainingError, match="the side 'test' of a split would have"):
        folds(samples, 3, gap=timedelta(hours=9))


def observed(n_regions=12, observations=3, rows=10):
    """Return samples of regions that were observed several times."""
    row = np.arange(n_regions * observations * rows)
    region = row // (observations * rows)
    samples = samples_of(
        [f"AR {number}" for number in region], np.where(region % 2, "pore", "sunspot").tolist()
    )
    words = np.array([f"obs {number}" for number in row // rows], dtype=object)
    return samples.assign_coords(observation=("sample", words))


def shared(samples, column):
    """Return how many names of that column stand on more than one side."""
    where = {}
    for name, side in zip(samples[column].values, sides(samples), strict=True):
        where.setdefault(name, set()).add(side)
    return sum(len(found) > 1 for found in where.values())


def test_naive_splits_share_what_they_say_they_leak():
    by_row = naive_split(observed(), by="spectrum", seed=1)
    assert shared(by_row, "region") == 12
    assert shared(by_row, "observation") > 30
    by_observation = naive_split(observed(), by="observation", seed=1)
    assert shared(by_observation, "region") > 6
    assert shared(by_observation, "observation") == 0
    for by, done in (("spectrum", by_row), ("observation", by_observation)):
        assert done["split"].attrs == {"by": by, "leaks": LEAKS[by]}
        shares = [np.mean(np.array(sides(done)) == side) for side in SIDES]
        assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.04)


@pytest.mark.parametrize("by", sorted(LEAKS))
def test_another_seed_gives_another_naive_split_but_another_order_of_rows_does_not(by):
    samples = observed()
    order = np.random.default_rng(0).permutation(samples.sizes["sample"])
    one = sides(naive_split(samples, by=by, seed=3))
    other = sides(naive_split(samples.isel(sample=order), by=by, seed=3))
    assert [one[row] for row in order] == other
    assert one != sides(naive_split(samples, by=by, seed=4))


@pytest.mark.parametrize("by", sorted(LEAKS))
def test_a_naive_split_is_refused_unless_asked_for(by):
    done = naive_split(observed(), by=by)
    with pytest.raises(TrainingError, match=r"a naive one, which leaks: .* of .* region"):
        check_split(done)
    assert check_split(done, naive=True) is done
    with pytest.raises(TrainingError, match="which leaks"):
        check_split(done.isel(sample=slice(0, 7)))
    assert check_split(split(done)) is not done


def test_asking_for_a_naive_split_does_not_let_a_broken_one_pass():
    samples = samples_of(["AR 1", "AR 1", "AR 2"], ["pore", "pore", "pore"])
    column = np.array(["train", "test", "test"], dtype=object)
    with pytest.raises(TrainingError, match="two sides of the split: ar 1"):
        check_split(samples.assign_coords(split=("sample", column)), naive=True)


def test_a_naive_split_excludes_ambiguous_samples():
    samples = observed()
    labels = samples["label"].values.copy()
    labels[::5] = "ambiguous"
    samples = samples.assign_coords(label=("sample", labels))
    for by in LEAKS:
        column = np.array(sides(naive_split(samples, by=by)))
        assert ((column == EXCLUDED) == (labels == "ambiguous")).all()


def test_a_naive_split_by_anything_else_is_refused():
    with pytest.raises(TrainingError, match="a naive split by 'region' was asked for"):
        naive_split(observed(), by="region")


def test_a_naive_split_one_side_of_which_lacks_a_class_is_refused():
    samples = observed(n_regions=2, observations=1)
    with pytest.raises(TrainingError, match="would have the samples"):
        naive_split(samples, by="observation")
