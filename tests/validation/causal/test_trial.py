"""All causal tests of a network, gathered once and judged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.validation.causal.counterfactual import intervene
from solarxai.validation.causal.nuisances import DISTURBANCES, SWAPS
from solarxai.validation.causal.trial import causal_checks, draw_scenes, gather
from solarxai.validation.report import Limits, Resampling

FEW = Resampling(n=50, seed=0)
WORDS = {"limits": Limits(), "resampling": FEW}


@pytest.fixture(scope="module")
def scenes(spots, gentle):
    drawn = draw_scenes(spots, scale_mm=0.5, amplitudes=gentle, most=6)
    return dataclasses.replace(drawn, disturbed=list(drawn.disturbed))


def test_at_most_so_many_of_each_label_are_disturbed_but_all_are_intervened_on(
    spots, scenes, classifier
):
    evidence = gather(spots, classifier("rim"), scenes)
    assert evidence.samples["label"].values.tolist().count("sunspot") == 6
    assert evidence.samples.sizes["sample"] == 12
    assert evidence.disturbed.original.shape == (12,)
    assert evidence.following.along.shape == (12,)
    assert evidence.found.original.shape == (40,)


def test_without_a_bound_all_are_disturbed(spots):
    few = spots.isel(sample=slice(0, 10))
    assert draw_scenes(few, scale_mm=0.5, most=None).samples.sizes["sample"] == 10


def test_scenes_drawn_once_serve_two_networks(spots, scenes, classifier):
    honest, cheat = (gather(spots, classifier(name), scenes) for name in ("rim", "corner"))
    again = gather(spots, classifier("rim"), scenes)
    for name, scores in honest.disturbed.changed.items():
        np.testing.assert_array_equal(scores, again.disturbed.changed[name])
    assert not np.array_equal(honest.disturbed.original, cheat.disturbed.original)


def test_every_intervention_nuisance_swap_and_move_is_a_check(spots, scenes, classifier):
    checks = causal_checks(gather(spots, classifier("rim"), scenes), spots, **WORDS)
    names = {check.name for check in checks}
    assert {f"nuisance {name}: calls changed" for name in (*DISTURBANCES, *SWAPS)} <= names
    assert "penumbra removed: sunspots no longer called so" in names
    assert "structure moved: map follows it less map stays" in names
    assert {check.method for check in checks} == {""}


def test_the_loss_of_each_disturbed_sunspot_is_its_own(spots, scenes, classifier):
    reverse = spots.isel(sample=slice(None, None, -1))
    by_name = []
    for samples in (spots, reverse):
        evidence = gather(samples, classifier("rim"), scenes)
        checks = causal_checks(evidence, samples, **WORDS)
        name = "nuisance noise: change of score ÷ penumbra loss"
        by_name.append(next(check for check in checks if check.name == name))
    assert by_name[0].value == pytest.approx(by_name[1].value, rel=1e-4)
    assert by_name[0].structures == 6


def test_what_could_not_be_done_is_gathered_from_every_test(spots, scenes, classifier):
    one_class = spots.isel(sample=spots["label"].values == "sunspot")
    drawn = draw_scenes(one_class, scale_mm=0.5, most=3)
    evidence = gather(one_class, classifier("rim"), drawn)
    left = {(row["intervention"], row["reason"]): row["count"] for row in evidence.left_out}
    assert left["swap mu, other label", "no partner of that label"] == 3
    interventions = intervene(one_class, classifier("rim")).left_out
    assert {row["intervention"] for row in interventions} <= {
        row["intervention"] for row in evidence.left_out
    }


def test_a_map_of_the_corner_stays_where_the_structure_was(spots, scenes, classifier):
    name = "structure moved: map follows it less map stays"
    for reason, verdict in (("corner", "fails"), ("rim", "holds")):
        checks = causal_checks(gather(spots, classifier(reason), scenes), spots, **WORDS)
        assert next(check.verdict for check in checks if check.name == name) == verdict


class Steps(nn.Module):
    """Counts pixels as bright as a penumbra, in steps that have no gradient."""

    def forward(self, x):
        grey = ((x + 1 > 0.6) & (x + 1 < 0.85)).float().sum(dim=(1, 2, 3)) - 70
        return torch.stack([-grey, grey], dim=1)


def test_a_network_without_gradients_is_judged_by_all_but_its_maps(spots, scenes):
    contract = InputContract(shape=(32, 32), scale_mm=0.5)
    blunt = Classifier(network=Steps().eval(), contract=contract, architecture="tests:steps")
    evidence = gather(spots, blunt, scenes)
    (row,) = (one for one in evidence.left_out if "gradient" in one["reason"])
    assert (row["intervention"], row["count"]) == ("structure moved", len(set(scenes.moves.rows)))
    checks = {check.name: check for check in causal_checks(evidence, spots, **WORDS)}
    assert checks["structure moved: map follows it less map stays"].verdict == "informs"
    assert checks["penumbra removed: sunspots no longer called so"].verdict == "holds"


def test_progress_tells_of_interventions_and_of_nuisances(spots, classifier):
    told = []
    few = spots.isel(sample=slice(0, 4))
    drawn = draw_scenes(few, scale_mm=0.5, progress=lambda *args: told.append(args))
    gather(few, classifier("rim"), drawn, progress=lambda *args: told.append(args))
    assert (4, 4, "interventions") in told
    assert any(what == "nuisance swap roll, other label" for _, _, what in told)
