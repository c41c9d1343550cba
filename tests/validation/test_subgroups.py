"""A network that leans on a quantity is right where a biased archive would have its class."""

import numpy as np
import pytest

from solarxai.errors import ValidationError
from solarxai.schema import mock_samples
from solarxai.validation.report import Resampling
from solarxai.validation.subgroups import AGAINST, GAP, WITH, subgroup_rows

FEW = Resampling(n=200, seed=0)


@pytest.fixture(scope="module")
def structures():
    """Return 80 structures of 20 regions; the first of each pair of a label is large."""
    samples = mock_samples(80, size=8)
    large = np.arange(80) % 4 < 2
    return samples.assign_coords(area_mm2=("sample", np.where(large, 9.0, 1.0)))


def by_name(rows):
    return {(row["subgroup"], row["label"]): row for row in rows}


def test_a_network_that_reads_the_size_is_right_with_the_bias_alone(structures):
    margins = structures["area_mm2"].values - 5
    found = by_name(subgroup_rows(structures, margins, column="area_mm2", cut=5, resampling=FEW))
    assert found[WITH, "all"]["value"] == 1
    assert found[AGAINST, "all"]["value"] == 0
    assert found[GAP, "all"]["value"] == found[GAP, "all"]["low"] == 1
    assert found["area_mm2 above the cut", "sunspot"]["value"] == 1
    assert found["area_mm2 above the cut", "pore"]["value"] == 0
    assert found["area_mm2 below the cut", "pore"]["score"] == -4


def test_a_network_that_reads_the_label_leans_on_nothing(structures):
    margins = np.where(structures["label"].values == "sunspot", 3.0, -3.0)
    found = by_name(subgroup_rows(structures, margins, column="area_mm2", resampling=FEW))
    assert found[WITH, "all"]["value"] == found[AGAINST, "all"]["value"] == 1
    assert found[GAP, "all"]["value"] == 0
    assert [row["structures"] for row in found.values()] == [20, 20, 20, 20, 40, 40, 80]
    assert all(row["regions"] == 20 for row in found.values())


def test_the_half_of_the_sunspots_can_be_the_lower_one(structures):
    margins = 5 - structures["area_mm2"].values
    rows = subgroup_rows(
        structures, margins, column="area_mm2", cut=5, second_class="below", resampling=FEW
    )
    assert by_name(rows)[GAP, "all"]["value"] == 1


def test_a_subgroup_without_samples_has_no_row(structures):
    margins = np.ones(80)
    rows = subgroup_rows(structures, margins, column="area_mm2", cut=10, resampling=FEW)
    names = {row["subgroup"] for row in rows}
    assert "area_mm2 above the cut" not in names
    assert "area_mm2 below the cut" in names


def test_without_a_cut_the_median_is_taken(structures):
    rows = subgroup_rows(structures, np.ones(80), column="mu", resampling=FEW)
    assert {row["cut"] for row in rows} == {float(np.median(structures["mu"].values))}


def test_ambiguous_samples_take_no_part(structures):
    label = structures["label"].values.copy()
    label[:4] = "ambiguous"
    rows = subgroup_rows(
        structures.assign_coords(label=("sample", label)), np.ones(80), column="mu", resampling=FEW
    )
    assert by_name(rows)[GAP, "all"]["structures"] == 76


def test_a_column_that_is_not_there_is_refused_with_its_near_name(structures):
    with pytest.raises(ValidationError, match=r"no column of numbers 'area_mm'.*'area_mm2'"):
        subgroup_rows(structures, np.ones(80), column="area_mm")


def test_a_column_without_a_value_is_refused(structures):
    empty = structures.assign_coords(mu=("sample", np.full(80, np.nan)))
    with pytest.raises(ValidationError, match="has a finite 'mu'"):
        subgroup_rows(empty, np.ones(80), column="mu")
