"""A target becomes weights of the scores."""

import pytest
import torch

from solarxai.engine.targets import target_weights
from solarxai.errors import ExplainerRefusal


def test_difference_is_the_second_score_less_the_first():
    assert target_weights("difference", batch=2, classes=2).tolist() == [[-1, 1], [-1, 1]]


def test_an_index_picks_one_score():
    assert target_weights(2, batch=2, classes=3).tolist() == [[0, 0, 1], [0, 0, 1]]


def test_a_tensor_picks_one_score_a_sample():
    weights = target_weights(torch.tensor([1, 0]), batch=2, classes=2)
    assert weights.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("classes", [1, 3])
def test_difference_is_refused_without_two_outputs(classes):
    with pytest.raises(ExplainerRefusal, match=f"has {classes}.*Give the index"):
        target_weights("difference", batch=1, classes=classes)


def test_an_unknown_word_is_refused():
    with pytest.raises(ExplainerRefusal, match=r"'margin' is not known.*difference"):
        target_weights("margin", batch=1, classes=2)


@pytest.mark.parametrize("target", [2, -1, torch.tensor([0, 5])])
def test_an_index_out_of_range_is_refused(target):
    with pytest.raises(ExplainerRefusal, match=r"not among the outputs 0 to 1"):
        target_weights(target, batch=2, classes=2)


@pytest.mark.parametrize("target", [True, 1.0, torch.tensor([0.0, 1.0]), torch.tensor([0, 1, 0])])
def test_anything_else_is_refused(target):
    with pytest.raises(ExplainerRefusal, match=r"neither a class index nor one index"):
        target_weights(target, batch=2, classes=2)
