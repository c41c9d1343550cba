"""A rewritten network gives the scores of the network, and sends back what it is told to."""

import networks
import pytest
import rule_networks
import torch

from solarxai.engine.deep_lift import Rescaled
from solarxai.engine.gradients import Stream
from solarxai.engine.operations import follow
from solarxai.engine.preparation import Snapshot, prepare
from solarxai.engine.rectifiers import Rectified
from solarxai.engine.rewriting import carry, pull_back, rewrite
from solarxai.explainers.lrp import LRP


def test_a_copy_gives_scores_and_gradients_of_the_network_and_counts_its_passes():
    model, x = networks.residual(), networks.images(3)
    stream = Stream(prepare(model, x), batch_size=3)
    before = (stream.forward, stream.backward)
    copied = rewrite(follow(stream.prepared, rule="test"), lambda rewriting, node: None)
    found, scores = pull_back(stream, copied, x, torch.ones_like)
    assert (stream.forward - before[0], stream.backward - before[1]) == (3, 3)
    assert torch.equal(found, stream.gradient(x, torch.ones(3, 2)))
    torch.testing.assert_close(scores, model(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spelling", rule_networks.SPELLINGS)
@pytest.mark.parametrize("rules", ["guided", "rescaled", "relevant"])
def test_with_other_rules_the_scores_are_those_of_the_network(spelling, rules):
    model, x = rule_networks.spelled(spelling), networks.images(3)
    stream = Stream(prepare(model, x), batch_size=3)
    scores = model(x).detach()
    if rules == "guided":
        found = pull_back(
            stream,
            Rectified(stream.prepared, guided=True, rule="test")._network,
            x,
            torch.ones_like,
        )[1]
    elif rules == "rescaled":
        reference = Rescaled(stream.prepared, rule="test").against(stream, x[:1])
        found = reference.contributions(stream, x, torch.ones(3, 2))[1]
        torch.testing.assert_close(reference.scores, scores[:1], rtol=1e-4, atol=1e-5)
    else:
        missing = LRP(composite="gamma")(model, x, target=1)
        total = missing.values.flatten(1).sum(dim=1) - missing.completeness_error
        found = torch.stack([scores[:, 0], total], dim=1)
    torch.testing.assert_close(found, scores, rtol=1e-4, atol=1e-5)


def test_a_value_goes_forward_and_what_comes_back_goes_to_each_carrier():
    value, first, second = (torch.tensor([n], requires_grad=True) for n in (5.0, 6.0, 7.0))
    given = carry(value, torch.tensor([2.0]), first, torch.tensor([-3.0]), second)
    (given * 10).sum().backward()
    assert given.tolist() == [5.0]
    assert value.grad is None
    assert (first.grad.tolist(), second.grad.tolist()) == ([20.0], [-30.0])


@pytest.mark.parametrize("composite", ["epsilon_plus", "w_square", "gamma"])
def test_rules_leave_a_prepared_network_as_it_was(composite):
    model, x = networks.residual(), networks.images(2)
    ready = Snapshot(model)
    stream = Stream(prepare(ready, x), batch_size=2)
    before = stream.gradient(x, torch.ones(2, 2))
    LRP(composite=composite)(ready, x)
    assert torch.equal(stream.gradient(x, torch.ones(2, 2)), before)
