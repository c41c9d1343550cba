"""The guided path moves the flattest values first, and all of them in time."""

import pytest
import torch

from solarxai.engine.guided_path import advance


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def step(places, slopes, lengths, **options):
    free = {"alpha": 0.25, "max_distance": 1.0, "fraction": 0.01}
    return advance(vector(*places), vector(*slopes), vector(*lengths), **free | options)


def test_the_flattest_value_goes_first():
    found = step((0, 0, 0, 0), (3, 1, 2, 4), (1, 1, 1, 1))
    assert found.tolist() == [0, 1, 0, 0]


def test_the_next_goes_the_part_that_is_left():
    found = step((0, 0, 0, 0), (3, 1, 2, 4), (1, 1, 1, 1), alpha=0.375)
    assert found.tolist() == [0, 1, 0.5, 0]


def test_values_of_one_chunk_go_together():
    found = step((0, 0, 0, 0), (3, 1, 2, 4), (1, 1, 1, 1), fraction=0.5)
    assert found.tolist() == [0, 0.5, 0.5, 0]


def test_no_value_is_further_from_the_straight_path_than_allowed():
    found = step((0, 0, 0, 0), (3, 1, 2, 4), (1, 1, 1, 1), alpha=0.5, max_distance=0.2)
    torch.testing.assert_close(found, vector(0.3, 0.7, 0.7, 0.3))


def test_a_value_without_a_way_is_passed_over():
    found = step((0, 0, 0), (0, 1, 2), (0, 1, 3))
    assert found[1:].tolist() == [1, 0]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1.0])
@pytest.mark.parametrize("max_distance", [0.0, 0.02, 0.3, 1.0])
def test_the_whole_goes_its_part_in_every_step_and_nothing_goes_back(fraction, max_distance):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.rand(50, generator=generator, dtype=torch.float64)
    places = torch.zeros(50, dtype=torch.float64)
    for alpha in torch.linspace(0.05, 1, 20, dtype=torch.float64).tolist():
        slopes = torch.rand(50, generator=generator, dtype=torch.float64)
        after = advance(
            places, slopes, lengths, alpha=alpha, max_distance=max_distance, fraction=fraction
        )
        assert (after >= places - 1e-12).all()
        assert ((after - alpha).abs() <= max_distance + 1e-12).all()
        assert float((after * lengths).sum()) == pytest.approx(alpha * float(lengths.sum()))
        places = after
    assert (places == 1).all()
