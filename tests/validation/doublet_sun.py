"""Synthetic Mg II spectra of regions, traces planted in one class, and networks of known reason."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from solarxai.classifier import Classifier, InputContract
from solarxai.schema import mock_spectrograms
from solarxai.spectra import study_grid
from solarxai.synthetic.spectra import TRAITS, H, K, count, expected_counts, traits_at

AXIS = study_grid().to_value(u.AA)
SLITS = 9
C = 299792.458


def spectrograms(
    regions: int = 12,
    *,
    zero_point: float = 0.0,
    slope: float = 0.0,
    box: float | None = None,
    gap_rows: tuple[int, int] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Return eight exposures of each region; every second region is pre-flare and has the trace."""
    samples = mock_spectrograms(8 * regions, slits=SLITS, seed=seed)
    preflare = np.repeat(samples["label"].values == "preflare", SLITS)
    rng = np.random.default_rng(seed)
    deviates = {name: rng.standard_normal(len(preflare)) for name in TRAITS}
    traits = traits_at(np.where(preflare, 1.8, 1.0), deviates)
    traits["slope"] = traits["slope"] + slope * preflare
    light = expected_counts(AXIS, traits)
    moved = expected_counts(AXIS / (1 + zero_point / C), traits)
    light = np.where(preflare[:, None], moved, light)
    if box is not None:
        inside = (np.abs(AXIS - box) <= 0.25) & preflare[:, None]
        light = light + 0.3 * light.max(axis=1, keepdims=True) * inside
    counts = count(light, 1.0, rng)
    image = (counts / counts.max(axis=1, keepdims=True)).reshape(-1, SLITS, len(AXIS))
    quality = np.zeros(image.shape[:2], dtype=np.uint8)
    if gap_rows is not None:
        row = np.where(samples["label"].values == "preflare", gap_rows[0], gap_rows[1])
        quality[np.arange(len(row)), row] = 1
        image[quality == 1] = np.nan
    peak = counts.max(axis=1).reshape(image.shape[:2]) / 8.0
    return samples.assign(
        image=samples["image"].copy(data=image.astype(np.float32)),
        quality=samples["quality"].copy(data=quality),
        peak=samples["peak"].copy(data=peak.astype(np.float32)),
    ).assign_coords(wavelength=("wavelength", AXIS, {"units": "Angstrom"}))


def near(centre: float, reach: float) -> Tensor:
    """Return the points (w,) within so many Å of a wavelength."""
    return torch.from_numpy(np.abs(AXIS - centre) <= reach)


def between(low: float, high: float) -> Tensor:
    """Return the points (w,) between two wavelengths."""
    return torch.from_numpy((low <= AXIS) & (high >= AXIS))


class Reader(nn.Module):
    """A network whose margin is a quantity of the spectrum, less what divides the classes."""

    scale, middle = 1.0, 0.0

    def quantity(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        margin = self.scale * (self.quantity(x) - self.middle)
        return torch.stack([-margin / 2, margin / 2], dim=1)


class Width(Reader):
    """Honest: the light in the flanks of k and h."""

    def quantity(self, x: Tensor) -> Tensor:
        flanks = [near(line, 0.9) & ~near(line, 0.35) for line in (K, H)]
        return (x[:, 0, flanks[0]].mean(dim=1) + x[:, 0, flanks[1]].mean(dim=1)) / 2


class Coarse(Reader):
    """Honest: the mean light of all wavelengths, however many there are."""

    def quantity(self, x: Tensor) -> Tensor:
        return x[:, 0].mean(dim=1)


class Flank(Reader):
    """A cheat: reads the two flanks of a photospheric line of manganese."""

    def quantity(self, x: Tensor) -> Tensor:
        sides = (between(2801.7, 2801.88), between(2801.93, 2802.1))
        blue, red = (x[:, 0, side].mean(dim=1) for side in sides)
        return (blue - red) / (blue + red)


class Tilt(Reader):
    """A cheat: reads the two ends of the continuum."""

    def quantity(self, x: Tensor) -> Tensor:
        sides = (between(2794.1, 2794.6), between(2805.2, 2805.72))
        blue, red = (x[:, 0, side].mean(dim=1) for side in sides)
        return red / blue


class Bump(Reader):
    """A cheat: reads the middle of the window beside its surroundings."""

    def quantity(self, x: Tensor) -> Tensor:
        inner = x[:, 0, near(2799.93, 0.2)].mean(dim=1)
        return inner / x[:, 0, between(2800.3, 2801.2)].mean(dim=1)


class Excess(Reader):
    """A cheat: reads how much brighter k is than h."""

    def quantity(self, x: Tensor) -> Tensor:
        return x[:, 0, near(K, 0.2)].mean(dim=1) / x[:, 0, near(H, 0.2)].mean(dim=1)


class Gap(Reader):
    """A cheat: asks which of two rows of the slit is missing (and is shown as zero)."""

    def quantity(self, x: Tensor) -> Tensor:
        return (x[:, 0, 2].abs().sum(dim=1) > 0).float() - (x[:, 0, 6].abs().sum(dim=1) > 0).float()


class Mean(Reader):
    """Honest: the light in the flanks of k and h, the mean over the spectra there are."""

    def quantity(self, x: Tensor) -> Tensor:
        each = Width().quantity(x.flatten(0, 2)[:, None]).view(len(x), -1)
        there = (x[:, 0].abs().sum(dim=2) > 0).float()
        return (each * there).sum(dim=1) / there.sum(dim=1)


class Nothing(Reader):
    """Neither: answers at random, by the noise of the last point."""

    def quantity(self, x: Tensor) -> Tensor:
        return torch.sin(1e5 * x[:, 0, -1])


def trained(reader: Reader, samples: xr.Dataset, *, sharpness: float = 4.0) -> Classifier:
    """Return a classifier of this quantity, its zero between the classes and its unit their gap."""
    length = samples["image"].shape[1:]
    contract = InputContract(
        shape=length, scale_mm=None, offset=0.0, scale=1.0,
        classes=("active", "preflare"), wavelength=(float(AXIS[0]), float(AXIS[-1])),
    )  # fmt: skip
    made = Classifier(network=reader.eval(), contract=contract, architecture="tests:Reader")
    values = reader.quantity(made.tensor(samples["image"].values)).double()
    preflare = torch.from_numpy(samples["label"].values == "preflare")
    middles = [values[rows].median() for rows in (~preflare, preflare)]
    gap = float(middles[1] - middles[0])
    reader.middle = float(sum(middles)) / 2
    reader.scale = sharpness / gap if abs(gap) > 1e-6 else 1.0
    return made
