"""The list of methods comes from the files themselves."""

import json
import subprocess
import sys
from dataclasses import fields

import networks
import pytest
import torch

import solarxai
from solarxai import registry
from solarxai.errors import WorkflowError
from solarxai.explainers import _catalogue
from solarxai.explainers._catalogue import make_explainer
from solarxai.explainers.gradient import Gradient


def test_every_file_is_a_method_with_words_for_everything():
    found = solarxai.list_methods()
    assert [method["name"] for method in found] == registry.names("solarxai.explainers")
    for method in found:
        kind = registry.load("solarxai.explainers", method["name"])
        assert method["description"]
        assert method["references"]
        assert [o["name"] for o in method["options"]] == [f.name for f in fields(kind)]
        assert all(option["description"] for option in method["options"])
        assert {o["name"]: o["default"] for o in method["options"]} == {
            f.name: f.default for f in fields(kind)
        }


def test_one_method_can_be_listed_as_words_and_as_json():
    found = solarxai.list_methods("grad_cam")
    (method,) = json.loads(json.dumps(found))
    assert "layer" in {option["name"] for option in method["options"]}
    assert str(found).startswith("grad_cam: The activations of a layer")
    assert "batch_size = 32: Most images in one pass" in str(found)


def test_all_methods_are_one_line_each():
    found = solarxai.list_methods()
    assert str(found).splitlines()[0].split()[0] == found[0]["name"]
    assert len(str(found).splitlines()) == len(found)


def test_what_was_measured_of_a_method_stands_below_it(monkeypatch):
    figures = {
        "oracles": [{"oracle": "captum Saliency", "difference": "2e-07"}],
        "stochastic": False,
        "axioms": {"completeness": 0.5, "linearity": 1e-7, "symmetry": None},
        "forward": 1.5,
        "backward": 1.0,
        "time_over_floor": 1.1,
    }
    monkeypatch.setattr(_catalogue, "_measured", lambda: {"gradient": figures})
    text = str(solarxai.list_methods("gradient"))
    assert "Agrees with: captum Saliency (2e-07)" in text
    assert "Keeps: linearity\n" in text
    assert "1.5 forward, 1 backward" in text


def test_explain_runs_a_method_by_name():
    model, x = networks.residual(), networks.images(2)
    found = solarxai.explain(model, x, method="gradient", target=1, seed=5, batch_size=1)
    assert torch.equal(found.values, Gradient(batch_size=1)(model, x, target=1).values)


def test_explain_passes_its_seed_on():
    model, x, b = networks.residual(), networks.images(1), networks.images(4, seed=2)
    maps = [
        solarxai.explain(
            model, x, method="expected_gradients", baselines=b, seed=seed, samples=8
        ).values
        for seed in (0, 0, 1)
    ]
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])


def test_an_unknown_method_is_named_with_the_nearest():
    with pytest.raises(WorkflowError, match=r"'gradiant' is not one of.*Did you mean 'gradient'"):
        solarxai.list_methods("gradiant")


def test_an_unknown_option_is_named_with_the_nearest():
    with pytest.raises(WorkflowError, match=r"no option 'batchsize'.*Did you mean 'batch_size'"):
        make_explainer("gradient", batchsize=3)
    with pytest.raises(WorkflowError, match=r"no option 'zzz'; it has batch_size.*Leave it out"):
        make_explainer("gradient", zzz=3)


def test_importing_the_library_imports_nothing_heavy():
    code = "import solarxai, sys; print(sorted({'torch', 'xarray', 'sunpy'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match=r"no attribute 'explane'"):
        solarxai.explane  # noqa: B018
    assert "explain" in dir(solarxai)
