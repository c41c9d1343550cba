"""The photosphere of one image: flattened, cut into classes, its structures described."""

from solarxai.photosphere.flattening import flatten, limb_darkening
from solarxai.photosphere.reduction import LEAST_MU, Photosphere, Structure, describe, mu

__all__ = ["LEAST_MU", "Photosphere", "Structure", "describe", "flatten", "limb_darkening", "mu"]
