"""The registry: a file in a folder is a thing of that name."""

import sys

import pytest

from solarxai import registry
from solarxai.errors import TrainingError, WorkflowError


@pytest.fixture
def orchard(tmp_path, monkeypatch):
    """Return the name of a package with an apple, a pear and a private seed."""
    folder = tmp_path / "orchard"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    for name in ("pear", "apple", "_seed"):
        (folder / f"{name}.py").write_text(
            f'__all__ = ["Tree", "LEAF"]\nTree = "{name}"\nLEAF = 1\n'
        )
    monkeypatch.syspath_prepend(tmp_path)
    yield "orchard"
    for name in [n for n in sys.modules if n.partition(".")[0] == "orchard"]:
        del sys.modules[name]


def test_names_are_the_public_files_in_order(orchard):
    assert registry.names(orchard) == ["apple", "pear"]


def test_what_a_file_offers_is_the_first_of_its_all(orchard):
    assert registry.load(orchard, "pear") == "pear"


def test_an_unknown_name_is_told_with_all_names_and_the_nearest(orchard):
    with pytest.raises(
        WorkflowError, match=r"'aple' is not one of orchard: apple, pear. Did you mean 'apple'\?"
    ):
        registry.load(orchard, "aple")


def test_the_caller_names_the_kind_of_error(orchard):
    with pytest.raises(TrainingError, match="Choose one of these names"):
        registry.load(orchard, "_seed", error=TrainingError)


def test_a_near_name_is_a_question_or_nothing():
    assert registry.near_name("gradeint", ["gradient", "grad_cam"]) == "Did you mean 'gradient'?"
    assert registry.near_name("zebra", ["gradient"]) == ""
