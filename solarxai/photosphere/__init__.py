"""The photosphere of one image: flattened, cut into classes, its structures described."""

from solarxai.photosphere.reduction import (
    LEAST_MU,
    Photosphere,
    Structure,
    describe,
    flatten,
    limb_darkening,
    mu,
)

__all__ = ["LEAST_MU", "Photosphere", "Structure", "describe", "flatten", "limb_darkening", "mu"]
