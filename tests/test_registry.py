"""The registry: a file in a folder is a thing of that name."""

import importlib
import sys
from dataclasses import dataclass, field

import pytest

from solarxai import registry
from solarxai.errors import ContractError, TrainingError, WorkflowError


@dataclass(frozen=True, kw_only=True)
class Graft:
    """A dataclass as options make it: one field is needed, one is bounded, one is its own."""

    variety: str
    width: float = 2.0
    limits: tuple[float, float] | None = None
    living: bool = True
    age: int = field(default=0, init=False)

    def __post_init__(self):
        if self.width <= 0:
            raise ContractError(f"width is {self.width}", remedy="Give a width above 0.")


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


def test_a_folder_is_looked_through_once_for_a_name(orchard, monkeypatch):
    looked = []
    names = registry.names
    monkeypatch.setattr(registry, "names", lambda package: looked.append(package) or names(package))
    assert [registry.load(orchard, "pear") for _ in range(3)] == ["pear"] * 3
    assert looked == ["orchard"]


def test_a_private_file_is_no_thing_even_when_it_is_in_use(orchard):
    importlib.import_module("orchard._seed")
    with pytest.raises(WorkflowError, match="'_seed' is not one of orchard: apple, pear"):
        registry.load(orchard, "_seed")


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


def test_a_dataclass_is_made_of_options_a_list_standing_for_a_tuple():
    made = registry.make(Graft, {"variety": "cox", "limits": [1, 2.5]}, name="graft")
    assert made == Graft(variety="cox", limits=(1, 2.5))
    assert registry.make(Graft, {"variety": "cox", "limits": None}, name="graft").limits is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"widht": 1.0}, r"graft: .*unknown field 'widht' Did you mean 'width'\?"),
        ({"zebra": 1}, "unknown field 'zebra'. Its fields are limits, living, variety, width"),
        ({"width": "3"}, "width = '3': Input should be a valid number"),
        ({"width": True}, "width = True: Input should be a valid number"),
        ({"width": float("nan")}, "width = nan: Input should be a finite number"),
        ({"living": 1}, "living = 1: Input should be a valid boolean"),
        ({"limits": [1.0, 2.0, 3.0]}, "limits"),
        ({"age": 3}, "unknown field 'age'"),
    ],
)
def test_what_is_no_field_or_of_no_such_type_is_told_with_all_fields(given, told):
    with pytest.raises(WorkflowError, match=told) as caught:
        registry.make(Graft, {"variety": "cox", **given}, name="graft")
    assert caught.value.remedy == "Its fields are limits, living, variety, width."


def test_a_field_that_is_needed_is_missed_with_every_other_fault():
    with pytest.raises(WorkflowError, match="graft: variety is missing; width = 'w'") as caught:
        registry.make(Graft, {"width": "w", "leaf": 1}, name="graft")
    assert "unknown field 'leaf'" in caught.value.what


def test_the_dataclass_has_the_last_word_on_ranges():
    with pytest.raises(ContractError, match=r"width is -1\.0"):
        registry.make(Graft, {"variety": "cox", "width": -1.0}, name="graft")
