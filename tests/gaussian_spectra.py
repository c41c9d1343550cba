"""Spectrum and spectrogram samples of two classes of Gaussian lines, for tests of training."""

import numpy as np
import xarray as xr
from torch import nn

SIDES = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2


class Tiny(nn.Module):
    """Two convolutions and a flattened head, like the published network but smaller."""

    def __init__(self, *, classes: int = 2, length: int = 64) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, 4, 9, 3), nn.ReLU(), nn.Conv1d(4, 4, 5, 2), nn.ReLU(), nn.MaxPool1d(2)
        )
        cells = (((length - 9) // 3 + 1 - 5) // 2 + 1) // 2
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * cells, classes))

    def forward(self, x):
        return self.head(self.convolutions(x))


def spectrograms(*, exposures=16, slits=6, length=64, seed=0):
    """Return spectrogram samples of ten regions, half of the exposures of each pre-flare.

    A pre-flare line is twice as wide; every region has a shift of its own. An observation has one
    label and two rasters; a slit position in seven is dropped.
    """
    rng = np.random.default_rng(seed)
    n = 10 * exposures
    region, step = np.divmod(np.arange(n), exposures)
    flares = step % 2 == 1
    grid = np.linspace(2794.0, 2800.3, length)
    centre = 2797 + 0.1 * rng.standard_normal(10)[region]
    width = np.where(flares, 0.6, 0.3)[:, None] * rng.uniform(0.9, 1.1, (n, slits))
    offset = grid - centre[:, None, None]
    image = np.exp(-0.5 * (offset / width[..., None]) ** 2)
    image += 0.05 + 0.02 * rng.standard_normal(image.shape)
    image /= image.max(axis=2, keepdims=True)
    peak = rng.uniform(50, 150, (n, slits))
    dropped = rng.random((n, slits)) < 1 / 7
    image[dropped], peak[dropped] = np.nan, np.nan

    def words(pattern, *numbers):
        return np.array([pattern.format(*each) for each in zip(*numbers, strict=True)], object)

    columns = {
        "sample_id": words("e{}", np.arange(n)),
        "label": np.where(flares, "preflare", "active").astype(object),
        "region": words("AR {}", region),
        "observation": words("{}-{}", region, flares.astype(int)),
        "raster": step // 2 % 2,
        "split": np.array(SIDES, object)[region],
    }
    return xr.Dataset(
        {
            "image": (("sample", "slit", "wavelength"), image.astype(np.float32)),
            "peak": (("sample", "slit"), peak.astype(np.float32)),
            "feature_width": (("sample", "slit"), np.where(dropped, np.nan, width)),
        },
        coords={
            "wavelength": ("wavelength", grid),
            **{name: ("sample", values) for name, values in columns.items()},
        },
    )


def spectra(**options):
    """Return the kept spectra of `spectrograms` as spectrum samples."""
    whole = spectrograms(**options)
    row, slit = np.nonzero(np.isfinite(whole["peak"].values))
    columns = ("label", "region", "observation", "raster", "split")
    ids = [f"{whole['sample_id'].values[r]}-y{s}" for r, s in zip(row, slit, strict=True)]
    return xr.Dataset(
        {"image": (("sample", "wavelength"), whole["image"].values[row, slit])},
        coords={
            "wavelength": whole["wavelength"],
            "sample_id": ("sample", np.array(ids, object)),
            "slit": ("sample", slit),
            **{name: ("sample", whole[name].values[row]) for name in columns},
            **{n: ("sample", whole[n].values[row, slit]) for n in ("peak", "feature_width")},
        },
    )
