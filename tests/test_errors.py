"""Errors: what is wrong, and what to do, also across processes."""

import inspect
import pickle

import pytest

from solarxai import errors

KINDS = [getattr(errors, name) for name in errors.__all__]


def test_an_error_reads_as_problem_and_remedy():
    error = errors.IngestError("file.fits: CDELT1 is missing.", remedy="Give plate_scale.")
    assert str(error) == "file.fits: CDELT1 is missing. Give plate_scale."


def test_every_error_has_one_base_and_a_sentence():
    for kind in KINDS:
        assert issubclass(kind, errors.SolarxaiError)
        assert inspect.getdoc(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_back_from_a_worker(kind):
    back = pickle.loads(pickle.dumps(kind("what", remedy="do.")))
    assert type(back) is kind
    assert (back.what, back.remedy) == ("what", "do.")


def test_a_remedy_is_not_optional():
    with pytest.raises(TypeError, match="remedy"):
        errors.StoreError("what")
