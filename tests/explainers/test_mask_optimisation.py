"""Searched masks: do they find what was planted, and keep what they promise?"""

import networks
import pytest
import torch
from torch import nn

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers.extremal_perturbation import ExtremalPerturbation
from solarxai.explainers.meaningful_perturbation import MeaningfulPerturbation

AREA = 100 / 1024
SQUARE = (..., slice(10, 20), slice(14, 24))


class Planted(nn.Module):
    """Looks at the mean of a square, or of ten pixels of a spectrum, and saturates."""

    def forward(self, x):
        part = x[SQUARE] if x.ndim == 4 else x[..., 14:24]
        score = torch.tanh(part.flatten(1).mean(dim=1))
        return torch.stack([0 * score, score], dim=1)


def planted() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    x = 0.3 * networks.images(1, size=32)
    x[SQUARE] += 1
    truth = torch.zeros(32, 32, dtype=torch.bool)
    truth[SQUARE] = True
    return Planted().eval(), x, truth


def test_the_extremal_mask_of_its_area_is_the_planted_square(agrees):
    model, x, truth = planted()
    found = ExtremalPerturbation(fill="value", areas=(AREA,))(model, x).values[0, 0]
    agrees("extremal_perturbation", "planted square", found > 0.5, truth, overlap=0.8)
    assert float(found.mean()) == pytest.approx(AREA, rel=0.1)
    assert float((model(x * found) - model(x))[0, 1].abs()) < 0.1


def test_the_meaningful_mask_hides_the_planted_square_and_takes_the_score_away(agrees):
    model, x, truth = planted()
    found = MeaningfulPerturbation(fill="value")(model, x).values[0, 0]
    agrees("meaningful_perturbation", "planted square", found > 0.5, truth, overlap=0.8)
    assert float(model(x * (1 - found))[0, 1]) < 0.1 * float(model(x)[0, 1])


@pytest.mark.parametrize("method", [MeaningfulPerturbation, ExtremalPerturbation])
def test_they_find_an_interval_of_a_spectrum(method, agrees):
    x = 0.1 * networks.images(1, axes=1, size=64)
    x[..., 14:24] += 1
    found = method(fill="value", **{"areas": (10 / 64,)} if hasattr(method, "areas") else {})
    values = found(Planted().eval(), x).values[0, 0]
    truth = torch.zeros(64, dtype=torch.bool)
    truth[14:24] = True
    name = method.__module__.rpartition(".")[2]
    agrees(name, "planted interval", values > 0.5, truth, overlap=0.7)


@pytest.mark.parametrize("area", [0.05, 0.1, 0.2])
def test_an_extremal_mask_has_the_area_asked_for_and_is_nearly_black_and_white(area):
    model, x, _ = planted()
    found = ExtremalPerturbation(fill="value", areas=(area,))(model, x).values
    assert float(found.mean()) == pytest.approx(area, rel=0.25)
    assert float(((found > 0.1) & (found < 0.9)).float().mean()) < 0.15


def test_several_areas_give_the_mean_of_their_masks():
    model, x, _ = planted()
    options = {"fill": "value", "steps": 30}
    alone = [ExtremalPerturbation(areas=(a,), **options)(model, x) for a in (0.1, 0.3)]
    both = ExtremalPerturbation(areas=(0.1, 0.3), **options)(model, x)
    torch.testing.assert_close(both.values, (alone[0].values + alone[1].values) / 2)
    assert both.passes.backward - alone[0].passes.backward == 30


def test_a_dearer_area_hides_less():
    model, x, _ = planted()
    cheap, dear = (
        MeaningfulPerturbation(fill="value", area_weight=w)(model, x).values.mean()
        for w in (0.3, 8.0)
    )
    assert dear < 0.7 * cheap


def test_more_smoothness_gives_less_variation():
    model, x, _ = planted()
    rough, smooth = (
        MeaningfulPerturbation(fill="value", smoothness=s)(model, x).values for s in (0.0, 20.0)
    )
    assert smooth.diff().abs().max() < 0.5 * rough.diff().abs().max()


@pytest.mark.parametrize("method", [MeaningfulPerturbation, ExtremalPerturbation])
def test_the_batch_size_plays_no_role(method):
    model, x = networks.residual(), networks.images(2)
    found = [method(steps=50, batch_size=n)(model, x).values for n in (1, 32)]
    assert torch.equal(*found)


@pytest.mark.parametrize("method", [MeaningfulPerturbation, ExtremalPerturbation])
def test_an_image_that_is_its_own_fill_has_nothing_to_search_for(method):
    model = networks.residual()
    with pytest.raises(ExplainerRefusal, match=r"nothing to search for.*another fill"):
        method()(model, torch.ones(1, 1, 16, 16))


@pytest.mark.parametrize("method", [MeaningfulPerturbation, ExtremalPerturbation])
def test_a_coarse_precision_is_refused(method):
    with pytest.raises(ContractError, match=r"precision is 'bfloat16'.*float32"):
        method(precision="bfloat16")


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        (MeaningfulPerturbation, {"rate": 0.0}, r"rate is 0.0.*above 0"),
        (MeaningfulPerturbation, {"area_weight": -1.0}, r"area_weight is -1.0.*0 or more"),
        (MeaningfulPerturbation, {"smoothness": -1.0}, r"smoothness is -1.0.*0 or more"),
        (MeaningfulPerturbation, {"exponent": 0.5}, r"exponent is 0.5.*1 or more"),
        (MeaningfulPerturbation, {"steps": 0}, r"steps is 0.*1 or more"),
        (ExtremalPerturbation, {"areas": ()}, r"areas is \(\).*between 0 and 1"),
        (ExtremalPerturbation, {"areas": (0.5, 1.0)}, r"areas is .*between 0 and 1"),
        (ExtremalPerturbation, {"areas": 0.1}, r"areas is 0.1.*tuple"),
        (ExtremalPerturbation, {"radius": 0.0}, r"radius is 0.0.*above 0"),
        (ExtremalPerturbation, {"area_weight": 0.0}, r"area_weight is 0.0.*above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(method, options, words):
    with pytest.raises(ContractError, match=words):
        method(**options)
