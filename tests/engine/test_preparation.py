"""The copy that runs gives the original's answers, and the original is left alone."""

import networks
import pytest
import torch
from torch import nn

from solarxai.engine.preparation import Snapshot, prepare
from solarxai.errors import ContractError, ExplainerRefusal


@pytest.mark.parametrize("axes", [1, 2])
def test_a_folded_copy_gives_the_scores_of_the_original(axes):
    model, x = networks.residual(axes=axes), networks.images(3, axes=axes)
    prepared = prepare(model, x)
    assert (prepared.form, prepared.reason, prepared.classes) == ("folded", "", 2)
    torch.testing.assert_close(prepared.network(x), model(x), rtol=1e-5, atol=1e-5)


def test_batch_norm_after_a_convolution_is_gone_and_the_caller_keeps_his():
    model = networks.residual()
    prepared = prepare(model, networks.images(1))
    called = [n.target for n in prepared.traced.graph.graph.nodes if n.op == "call_module"]
    layers = [prepared.network.get_submodule(name) for name in called]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == 4
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 4


def test_a_convolution_that_feeds_two_places_is_not_folded():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

        def forward(self, x):
            x = self.conv(x)
            return (self.norm(x) + x).mean(dim=(2, 3))

    model, x = networks.trained_looking(Forked()), networks.images(2)
    prepared = prepare(model, x)
    torch.testing.assert_close(prepared.network(x), model(x))


def test_a_view_that_needs_contiguous_memory_falls_back_with_the_reason():
    class Viewed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 3, 3), nn.Linear(3 * 196, 2)

        def forward(self, x):
            return self.head(self.conv(x).view(len(x), -1))

    class Reshaped(Viewed):
        def forward(self, x):
            return self.head(self.conv(x).view(x.shape[0], -1))

    x = networks.images(2)
    prepared = prepare(Reshaped().eval(), x)
    assert prepared.form == "traced"
    assert "view" in prepared.reason
    prepared = prepare(Viewed().eval(), x)
    assert prepared.form == "copy"
    assert "len" in prepared.reason


def test_a_hook_that_changes_the_answer_is_kept_and_one_that_looks_is_not():
    x, seen = networks.images(1), []
    model = networks.residual()
    model.stem.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    assert prepare(model, x).form == "folded"
    assert seen == [1]
    model.stem.register_forward_hook(lambda module, args, out: 2 * out)
    prepared = prepare(model, x)
    assert prepared.form == "copy"
    assert "on a probe its scores differ" in prepared.reason
    torch.testing.assert_close(prepared.network(x), model(x))


def test_a_network_that_stays_a_copy_is_checked_once_more():
    class Branching(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1)) * (2 if x.sum() > 0 else 1)

    prepared = prepare(Branching(256, 2).eval(), networks.images(1))
    assert (prepared.form, prepared.traced, prepared.passes) == ("copy", None, 2)
    assert "control flow" in prepared.reason


def test_a_network_without_an_answer_to_noise_is_run_as_it_is():
    class Logarithm(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1).log())

    prepared = prepare(Logarithm(256, 2).eval(), networks.images(1).abs() + 1)
    assert (prepared.form, prepared.passes) == ("copy", 1)
    assert prepared.reason == "its answer to a probe is not finite"


@pytest.mark.parametrize(
    "x",
    [torch.zeros(2, 4), torch.zeros(1, 1, 4, 4, dtype=torch.int64), torch.zeros(0, 1, 4, 4)],
)
def test_what_is_not_images_is_refused(x):
    with pytest.raises(ContractError, match=r"Offer a floating-point tensor"):
        prepare(networks.residual(), x)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ContractError, match=r"not finite.*Mask"):
        prepare(networks.residual(), torch.full((1, 1, 16, 16), torch.nan))


def test_a_network_in_training_mode_is_refused_even_in_part():
    model = networks.residual()
    model.first.train()
    with pytest.raises(ExplainerRefusal, match=r"first is in training mode.*eval"):
        prepare(model, networks.images(1))


def test_batch_statistics_are_refused():
    model = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten()).eval()
    with pytest.raises(ExplainerRefusal, match=r"depends on its neighbours.*track_running_stats"):
        prepare(model, networks.images(1))


def test_a_network_that_cannot_be_copied_is_refused():
    model = networks.residual()
    model.last_features = model(networks.images(1))
    with pytest.raises(ExplainerRefusal, match=r"cannot be copied.*Detach"):
        prepare(model, networks.images(1))


def test_a_random_network_is_refused():
    class Noisy(nn.Module):
        def forward(self, x):
            dropped = nn.functional.dropout(x, 0.5, training=True)
            return dropped.flatten(1).unflatten(1, (2, -1)).sum(dim=-1)

    with pytest.raises(ExplainerRefusal, match=r"two answers.*random"):
        prepare(Noisy().eval(), networks.images(1))


def test_a_map_of_scores_is_refused():
    with pytest.raises(ExplainerRefusal, match=r"returns \(1, 2, 14, 14\).*Wrap it"):
        prepare(nn.Conv2d(1, 2, 3).eval(), networks.images(1))


def test_scores_without_a_gradient_are_refused():
    class Detached(nn.Linear):
        def forward(self, x):
            return super().forward(x.detach().flatten(1))

    with pytest.raises(ExplainerRefusal, match=r"has a gradient.*no_grad"):
        prepare(Detached(256, 2).eval(), networks.images(1))


def test_a_snapshot_is_prepared_once_for_each_shape_and_form():
    ready, x = Snapshot(networks.residual()), networks.images(2)
    first, again = prepare(ready, x), prepare(ready, networks.images(5))
    assert again.network is first.network
    assert (first.passes, again.passes) == (2, 0)
    assert prepare(ready, x, fold=False).network is not first.network
    assert prepare(ready, networks.images(1, size=24)).passes == 2


def test_a_snapshot_keeps_the_network_as_it_was():
    model, x = networks.residual(), networks.images(2)
    ready, wanted = Snapshot(model), prepare(model, x).network(x)
    model.head[2].weight.data.zero_()
    torch.testing.assert_close(prepare(ready, x).network(x), wanted)


def test_a_snapshot_of_a_network_in_training_mode_is_refused():
    with pytest.raises(ExplainerRefusal, match=r"training mode"):
        Snapshot(networks.residual().train())
