"""One image out of a FITS file, with every card of its header and what was odd about them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.instruments._options import Options

__all__ = ["Plane", "auxiliary_table", "header_text", "merged_header", "opened", "read_plane"]

_STRUCTURAL = frozenset(
    {"SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "END", ""}
)
_COMMENTARY = ("COMMENT", "HISTORY")
"""Keywords that a header may have several times."""

_BLOCK = 2880
"""Bytes of a FITS block; no file is shorter."""

_FIXED_CARD = re.compile(r"Fixed '(\S+)' card")


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One image as the file holds it.

    Parameters
    ----------
    name
        What messages call the file.
    values
        (y, x) float32, native byte order; NaN where the file has no data.
    header
        Every card: those of the image, then those only the primary header has.
    notes
        What astropy had to mend while reading.
    frame, frames
        Index along the third axis and its length; None and 1 for a plain image.
    """

    name: str
    values: npt.NDArray[np.float32]
    header: fits.Header
    notes: tuple[str, ...]
    frame: int | None = None
    frames: int = 1

    @property
    def text(self) -> str:
        """The header, a card a line."""
        return header_text(self.header)


def read_plane(reference: Reference, options: Options) -> Plane:
    """Return the image that a reference and its options point to; no other unit is read.

    Raises
    ------
    IngestError
        if the file is empty, truncated or not FITS, holds no such image, or is a cube whose
        frame is not given or out of range.
    """
    name = reference.name
    with _astropy_manners(name) as said, _opened(reference) as units:
        unit = _image_unit(units, options.hdu, name)
        values, frame, frames = _values(unit, options.frame, name)
        header = merged_header(unit.header, units[0].header)
    notes = tuple(dict.fromkeys(said))
    return Plane(name=name, values=values, header=header, notes=notes, frame=frame, frames=frames)


def auxiliary_table(reference: Reference, hdu: int) -> tuple[npt.NDArray[np.float64], fits.Header]:
    """Return the values and header of an image extension that tabulates the frames of a cube.

    Raises
    ------
    IngestError
        if the file has no such extension.
    """
    with _astropy_manners(reference.name), _opened(reference) as units:
        unit = _unit(units, hdu, reference.name)
        if unit.data is None or unit.data.ndim != 2:
            raise IngestError(
                f"{reference.name}: unit {hdu} does not tabulate the frames",
                remedy="Read it with the instrument `generic` and an explicit time.",
            )
        return np.array(unit.data, dtype=np.float64), unit.header.copy()


def header_text(header: fits.Header) -> str:
    """Return every card of a header, a card a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        return str(header.tostring(sep="\n", endcard=False, padding=False))


@contextmanager
def opened(reference: Reference) -> Iterator[tuple[fits.HDUList, list[str]]]:
    """Yield the units of a file, and a list that has, once it is closed, what astropy mended.

    Raises
    ------
    IngestError
        if the file is empty, truncated or not FITS, on opening or while a unit is read.
    """
    with _astropy_manners(reference.name) as said, _opened(reference) as units:
        yield units, said


@contextmanager
def _opened(reference: Reference) -> Iterator[fits.HDUList]:
    with reference.path.open("rb") as file:
        start = file.read(_BLOCK)
    if not start:
        raise IngestError(f"{reference.name}: the file is empty", remedy="Fetch it again.")
    if start.startswith(b"SIMPLE  =") and len(start) < _BLOCK:
        raise _truncated(reference.name, "")
    # astropy leaves a file it opened itself open when its complaint is raised as an error.
    with reference.path.open("rb") as file:
        try:
            units = fits.open(file, lazy_load_hdus=True, memmap=False)
        except OSError:
            if start.startswith(b"SIMPLE  ="):
                raise _truncated(reference.name, "") from None
            raise
        with units:
            yield units


@contextmanager
def _astropy_manners(name: str) -> Iterator[list[str]]:
    """Turn astropy's complaints into ours: mended cards become notes, broken files errors."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AstropyUserWarning)
        warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
        try:
            yield said
        except IngestError:
            raise
        except AstropyUserWarning as error:
            raise _truncated(name, str(error)) from None
        except (OSError, ValueError, TypeError, KeyError, EOFError, fits.VerifyError) as error:
            raise _unreadable(name, str(error)) from None
    others = [w for w in caught if not issubclass(w.category, AstropyUserWarning)]
    said += _mended([str(w.message) for w in caught if w not in others])
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)


def _truncated(name: str, said: str) -> IngestError:
    sizes = re.findall(r"\d+", said)
    detail = f" ({sizes[0]} bytes of {sizes[1]})" if len(sizes) >= 2 else ""
    return IngestError(f"{name}: the file is truncated{detail}", remedy="Fetch it again.")


def _unreadable(name: str, said: str) -> IngestError:
    if "SIMPLE" in said or "Empty or corrupt" in said:
        return IngestError(
            f"{name}: this is not a FITS file", remedy="Give a FITS image, or fetch it again."
        )
    if "END card" in said or "buffer" in said or "size" in said:
        return _truncated(name, "")
    return IngestError(
        f"{name}: astropy cannot read it: {' '.join(said.split())}",
        remedy="Fetch it again, or mend its header.",
    )


def _mended(messages: list[str]) -> list[str]:
    """Return one sentence for all the cards astropy mended, and each other thing it said."""
    cards = [match[1] for text in messages if (match := _FIXED_CARD.search(text))]
    passing = ("Verification reported errors", "Note: astropy.io.fits uses zero-based")
    others = [
        " ".join(text.split())
        for text in messages
        if text.strip() and not _FIXED_CARD.search(text) and not text.startswith(passing)
    ]
    if cards:
        others.insert(0, f"cards mended to the FITS standard: {', '.join(dict.fromkeys(cards))}")
    return others


def _image_unit(units: fits.HDUList, hdu: int | str | None, name: str) -> Any:
    if hdu is not None:
        return _unit(units, hdu, name)
    number = 0
    while True:
        try:
            unit = units[number]
        except IndexError:
            raise IngestError(
                f"{name}: no header-data unit holds an image",
                remedy="Give a file with an image of two axes, or its number as option `hdu`.",
            ) from None
        if unit.is_image and unit.header.get("NAXIS", 0) >= 2:
            return unit
        number += 1


def _unit(units: fits.HDUList, hdu: int | str, name: str) -> Any:
    try:
        return units[hdu]
    except (IndexError, KeyError):
        raise IngestError(
            f"{name}: there is no header-data unit {hdu!r}",
            remedy="Correct option `hdu` of the catalog entry, or leave it out.",
        ) from None


def _values(
    unit: Any, frame: int | None, name: str
) -> tuple[npt.NDArray[np.float32], int | None, int]:
    axes = tuple(unit.shape)
    if not unit.is_image or len(axes) < 2 or min(axes) < 1:
        raise IngestError(
            f"{name}: the unit read holds no image (its axes are {axes})",
            remedy="Correct option `hdu` of the catalog entry.",
        )
    if len(axes) == 2 or axes[:-2] == (1,) * (len(axes) - 2):
        if frame not in (None, 0):
            raise IngestError(
                f"{name}: frame {frame} of a file with one image", remedy="Leave `frame` out."
            )
        return _native(unit.data).reshape(axes[-2:]), None, 1
    if len(axes) > 3:
        raise IngestError(
            f"{name}: {len(axes)} axes {axes}, where an image has 2 and a cube 3",
            remedy="Extract the images into a file of their own.",
        )
    if frame is None:
        raise IngestError(
            f"{name}: a cube of {axes[0]} frames, and none is chosen",
            remedy=f"Give option `frame` (0 to {axes[0] - 1}) in the catalog entry.",
        )
    if not 0 <= frame < axes[0]:
        raise IngestError(
            f"{name}: frame {frame} is not among its frames 0 to {axes[0] - 1}",
            remedy="Correct option `frame` of the catalog entry.",
        )
    return _native(unit.section[frame]), frame, axes[0]


def _native(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32, order="C")


def merged_header(image: fits.Header, primary: fits.Header) -> fits.Header:
    """Return the image's cards, mended, then those cards only the primary header has.

    It is the image's own header if there is nothing to add: copying takes as long as mending.
    """
    for card in image.cards:
        card.verify("fix+warn")
    if primary is image:
        return image
    more = [card for card in primary.cards if not _is_structural(card.keyword)]
    if not more:
        return image
    merged = image.copy()
    known = {str(card) for card in merged.cards if card.keyword in _COMMENTARY}
    for card in more:
        commentary = card.keyword in _COMMENTARY
        if str(card) not in known if commentary else card.keyword not in merged:
            merged.append(card, end=True)
    return merged


def _is_structural(keyword: str) -> bool:
    return keyword in _STRUCTURAL or keyword.startswith("NAXIS")
