"""Random numbers that belong to an image, not to its place in a batch."""

from __future__ import annotations

import hashlib

import numpy as np
from torch import Tensor

__all__ = ["image_generator", "probe_generator"]


def image_generator(seed: int, image: Tensor) -> np.random.Generator:
    """Return the counter-based generator of one image: its key is the seed and the image's bytes.

    Parameters
    ----------
    seed
        Seed of the run.
    image
        (channel, *space).

    Notes
    -----
    Philox 4×64 keyed by the first 16 bytes of the sha256 of seed and image, so equal images get
    equal numbers whatever their neighbours, and no global generator is read.

    References
    ----------
    Salmon et al. 2011, Parallel Random Numbers: As Easy as 1, 2, 3, doi:10.1145/2063384.2063405.
    """
    digest = hashlib.sha256(seed.to_bytes(16, "little", signed=True))
    digest.update(np.ascontiguousarray(image.detach().cpu().numpy()).tobytes())
    return _philox(digest.digest())


def probe_generator() -> np.random.Generator:
    """Return the generator of probe images: always the same."""
    return _philox(hashlib.sha256(b"solarxai probe").digest())


def _philox(digest: bytes) -> np.random.Generator:
    key = np.frombuffer(digest[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
