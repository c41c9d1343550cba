"""From DN / s to spectral radiance, with the effective area that irispy carries."""

from __future__ import annotations

import warnings

import astropy.constants as const
import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.time import Time
from irispy.utils.constants import DN_UNIT, SLIT_WIDTH
from irispy.utils.response import get_interpolated_effective_area, get_latest_response

from solarxai.errors import IngestError

__all__ = ["RADIANCE", "radiance_factor"]

RADIANCE = u.Unit("W / (m2 sr Angstrom)")


def radiance_factor(
    wavelength: u.Quantity,
    time: np.datetime64,
    *,
    dispersion: u.Quantity,
    pitch: u.Quantity,
    name: str,
) -> npt.NDArray[np.float32]:
    """Return W / (m2 sr Angstrom) in one DN / s, at each wavelength of the near ultraviolet.

    Parameters
    ----------
    wavelength
        Of each pixel.
    time
        UTC: the mirrors and the detector age.
    dispersion, pitch
        Wavelength and angle along the slit over which the camera gathered one value.
    name
        What messages call the file.

    Raises
    ------
    IngestError
        if irispy carries no response, or it is not above zero everywhere.

    Notes
    -----
    factor = g (h c / lambda) / (A(lambda, t) w pitch dispersion), where g = 18 photons / DN, w is
    the slit's width of 0.33 arcsec and A the effective area (IRIS technical note 24).
    irispy's own `radiometric_calibration` divides by half of w, and by the CDELT of a resampled
    axis; it gives the double of this.
    """
    try:
        with warnings.catch_warnings():
            # Leap seconds beyond the bundled table are unknown, which ERFA calls a dubious year.
            warnings.filterwarnings("ignore", message=".*dubious year")
            response = get_latest_response(Time(str(time), format="isot", scale="utc"))
    except OSError as error:
        raise IngestError(
            f"{name}: irispy lacks its response file ({' '.join(str(error).split())})",
            remedy="Install irispy-lmsal whole, or drop `calibrate` from the catalog entry.",
        ) from None
    area = get_interpolated_effective_area(response, "NUV", wavelength)
    if not (area > 0).all():
        raise IngestError(
            f"{name}: the effective area is not above zero from {wavelength.min():.2f} to "
            f"{wavelength.max():.2f}",
            remedy="Drop `calibrate` from the catalog entry: the response covers 2782 to 2835 A.",
        )
    photon = (const.h * const.c / wavelength).to(u.J) / u.photon
    gain = (1 * DN_UNIT["NUV"]).to(u.photon)
    factor = gain * photon / u.s / (area * SLIT_WIDTH * pitch * dispersion)
    return np.asarray(factor.to_value(RADIANCE), dtype=np.float32)
