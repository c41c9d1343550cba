"""Maps that know no network: edges of the images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from skimage.feature import canny

from solarxai.classifier import Classifier
from solarxai.validation.localisation.measures import edge_maps

__all__ = ["edge_controls"]

Array = npt.NDArray[Any]


def edge_controls(
    samples: xr.Dataset, classifier: Classifier
) -> dict[str, npt.NDArray[np.float32]]:
    """Return maps that know no network, on the dimensions of `image`, by name.

    Parameters
    ----------
    samples
        Samples of any kind; NaN where there is no spectrum.
    classifier
        Whether edges are those of an image, or of each spectrum, is what it takes.

    Notes
    -----
    "Sobel" is the magnitude of the gradient. "Canny" is 1 on edges: Gaussian of 1 pixel, hysteresis
    between the upper 20 % and the upper 10 % of gradients, so that it knows no unit; it needs two
    axes, and spectra have none.

    References
    ----------
    Canny 1986, doi:10.1109/TPAMI.1986.4767851.
    """
    images = samples["image"].values
    if len(classifier.contract.shape) == 1:
        rows = images.reshape(-1, 1, images.shape[-1])
        return {"Sobel": edge_maps(rows).reshape(images.shape)}
    return {"Sobel": edge_maps(images), "Canny": np.array([_canny(image) for image in images])}


def _canny(image: Array) -> npt.NDArray[np.float32]:
    known = np.isfinite(image)
    edges = canny(
        np.where(known, image, 0).astype(np.float64),
        sigma=1.0,
        low_threshold=0.8,
        high_threshold=0.9,
        mask=known,
        use_quantiles=True,
    )
    return np.where(known, edges, np.nan).astype(np.float32)
