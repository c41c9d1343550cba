"""Units of pixel values: what BUNIT means, and which quantity it says the image shows."""

from __future__ import annotations

import warnings
from functools import lru_cache

import astropy.units as u
from astropy.io.fits import Header

from solarxai.errors import IngestError

__all__ = ["INTENSITY", "MAGNETIC_FIELD", "VELOCITY", "value_unit"]

INTENSITY = "intensity"
MAGNETIC_FIELD = "magnetic field"
VELOCITY = "velocity"

_SPELLINGS = {
    "arbitrary intensity units": "",
    "degree": "deg",
    "dn\\": "DN",
    "gauss": "G",
    "mx/cm^2": "G",
    "mx/cm2": "G",
    "1": "",
}
_QUANTITIES = (
    (INTENSITY, ("", "DN", "DN / s", "ct", "ct / s", "photon", "electron", "W / (m2 sr nm)")),
    (MAGNETIC_FIELD, ("T",)),
    (VELOCITY, ("m / s",)),
)


def value_unit(
    header: Header, given: str | None, *, name: str, default: str | None = None
) -> tuple[str, str, str]:
    """Return (unit, quantity, note) of an image's values.

    Parameters
    ----------
    header
        Its BUNIT is read.
    given
        Unit from the catalog entry, for a header without BUNIT.
    name
        What messages call the file.
    default
        Unit of this instrument's files when they do not say.

    Raises
    ------
    IngestError
        if there is none, astropy does not know it, it contradicts the catalog entry, or it
        belongs to no quantity a photospheric image shows.
    """
    written = str(header.get("BUNIT", "")).strip()
    if written and given is not None and _parse(written, name) != _parse(given, name):
        raise IngestError(
            f"{name}: BUNIT is {written!r}, but the catalog entry says unit {given!r}",
            remedy="Drop `unit` from the catalog entry.",
        )
    text = written or given
    if text is None:
        text = default
    if text is None:
        raise IngestError(
            f"{name}: keyword BUNIT is missing",
            remedy='Give `unit` in the options of the catalog entry, such as "DN / s" or "1".',
        )
    unit = _parse(text, name)
    spelled = unit.to_string() or "1"
    return spelled, _quantity(unit, text, name), _note(written, text, spelled)


def _parse(text: str, name: str) -> u.UnitBase:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)
            return _known(_SPELLINGS.get(text.strip().lower(), text))
    except (ValueError, TypeError):
        raise IngestError(
            f"{name}: unit {text!r} is not one that astropy knows",
            remedy="Correct BUNIT, such as DN/s or Gauss, or `unit` of the catalog entry.",
        ) from None


@lru_cache(maxsize=256)
def _known(text: str) -> u.UnitBase:
    """Return a unit, its text parsed once a process."""
    return u.Unit(text)


def _quantity(unit: u.UnitBase, text: str, name: str) -> str:
    for quantity, units in _QUANTITIES:
        if any(unit.is_equivalent(_known(known)) for known in units):
            return quantity
    raise IngestError(
        f"{name}: unit {text!r} is neither of intensity, of magnetic field nor of velocity",
        remedy="Give an image of the photosphere, or correct its BUNIT.",
    )


def _note(written: str, text: str, spelled: str) -> str:
    if not written:
        return f"BUNIT is missing: {text or '1'} assumed"
    if written.lower() in _SPELLINGS and written.lower() not in ("1", "gauss"):
        return f"BUNIT {written!r} read as {spelled!r}"
    return ""
