"""Compare the synthetic IRIS with real spectra: tables and docs/figures/iris_realism.png.

    SOLARXAI_REAL_DATA=... python benchmarks/iris_realism.py [--regions 24] [--splits 4]

Profiles: the median distance (rms, both divided by their maximum) of spectra of each state to the
nearest of 53 centroids of real flare spectra, on 2793.85-2799.32 Å. Counts: percentiles beside the
rasters of 2014-03-29 (8 s, native sampling; ours 4 s and two pixels summed, which is as many).
Splits: the true skill statistic of a small convolutional network when a random quarter of the
spectra, or of the regions, is kept for the test; --splits 0 leaves this out.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import torch
from astropy.io import fits
from torch import nn

from solarxai.synthetic.iris_detector import FILL, expose_raster
from solarxai.synthetic.iris_surface import draw_surface
from solarxai.synthetic.iris_survey import Observation, Survey, draw_observation
from solarxai.synthetic.spectra import NATIVE_SAMPLING, TRAITS, count, expected_counts, traits_at

Array = npt.NDArray[np.float64]
STATES = ("quiet", "active", "preflare")
OVERLAP = np.linspace(2793.8501, 2799.3240, 216)
GRID = np.linspace(2794.14, 2805.72, 240)
NATIVE = np.arange(2790.5, 2806.6, NATIVE_SAMPLING)
PERCENTILES = (1, 10, 25, 50, 75, 90, 95, 99, 99.9)


def centroids(root: Path) -> Array:
    """Return the real centroids (53, 216), each divided by its maximum."""
    with np.load(root / "iris" / "mg2k_centroids.npz") as file:
        found = file["centroids"].T.astype(float)
    return np.asarray(found / found.max(axis=1, keepdims=True))


def real_rasters(root: Path) -> tuple[Array, Array]:
    """Return the counts of the real rasters (exposure, slit, wavelength) and their wavelengths."""
    files = sorted(root.glob("iris/20140329*/*raster/*.fits"))
    header = fits.getheader(files[0])
    counts = np.concatenate([fits.getdata(file, 9) for file in files]).astype(float)
    return counts, np.linspace(header["TWMIN9"], header["TWMAX9"], counts.shape[-1])


def profiles(state: float, number: int, seed: int) -> Array:
    """Return noisy spectra of one state at the detector's own sampling, 8 s."""
    rng = np.random.default_rng(seed)
    deviates = {name: rng.normal(size=number) for name in TRAITS}
    return count(expected_counts(NATIVE, traits_at(np.full(number, state), deviates)), 1.0, rng)


def distances(spectra: Array, real: Array) -> tuple[Array, Array]:
    """Return each spectrum's distance to its nearest centroid, and which that is."""
    ours = np.array([np.interp(OVERLAP, NATIVE, values) for values in spectra])
    ours /= ours.max(axis=1, keepdims=True)
    away = np.sqrt(((ours[:, None] - real) ** 2).mean(axis=-1))
    return away.min(axis=1), away.argmin(axis=1)


def exposed(survey: Survey) -> list[tuple[Observation, Array, npt.NDArray[np.uint8]]]:
    """Return every raster of a survey with its observation and its patches, last row left out."""
    found = []
    for index in range(survey.total):
        observation = draw_observation(survey, index)
        surface = draw_surface(survey, observation)
        for raster in range(survey.rasters):
            counts = expose_raster(survey, observation, surface, raster)
            found.append((observation, counts[:, :-1], surface.patch[raster][:, :-1]))
    return found


def cleaned(
    survey: Survey, rasters: list[tuple[Observation, Array, npt.NDArray[np.uint8]]]
) -> tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return spectra on the published grid over their maximum, their class, their region.

    Kept are those above 10 DN whose maximum is within 1.5 Å of k or h and whose middle is below 0.4
    of it, as Panos et al. (2023) do.
    """
    spectra, labels, regions = [], [], []
    for observation, counts, _ in rasters:
        rows = counts.reshape(-1, counts.shape[-1])
        values = np.array([np.interp(GRID, survey.wavelength, row) for row in rows])
        peak, place = values.max(axis=1), GRID[values.argmax(axis=1)]
        in_lines = (np.abs(place - 2796.35) < 1.5) | (np.abs(place - 2803.53) < 1.5)
        kept = (peak > 10) & in_lines & (values[:, 115:126].mean(axis=1) < 0.4 * peak)
        spectra.append(values[kept] / peak[kept, None])
        labels.append(np.full(kept.sum(), int(observation.flare is not None)))
        regions.append(np.full(kept.sum(), observation.region.number))
    return np.concatenate(spectra), np.concatenate(labels), np.concatenate(regions)


def network() -> nn.Sequential:
    """Return a small convolutional network over 240 points."""
    return nn.Sequential(
        nn.Conv1d(1, 8, 9, stride=2), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(8, 16, 7), nn.ReLU(), nn.MaxPool1d(2),
        nn.Flatten(), nn.Linear(416, 32), nn.ReLU(), nn.Linear(32, 2),
    )  # fmt: skip


def skill(
    spectra: Array, labels: npt.NDArray[np.int64], test: npt.NDArray[np.bool_], seed: int
) -> float:
    """Return the true skill statistic on the test part after training on the rest."""
    torch.manual_seed(seed)
    model, shuffle = network(), torch.Generator().manual_seed(seed)
    inputs = torch.tensor(spectra, dtype=torch.float32)[:, None]
    targets, fit = torch.tensor(labels), torch.tensor(np.nonzero(~test)[0])
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(10):
        for batch in fit[torch.randperm(len(fit), generator=shuffle)].split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        said = model(inputs[torch.tensor(test)]).argmax(dim=1).numpy()
    truth = labels[test]
    return float(said[truth == 1].mean() - said[truth == 0].mean())


def held_out(
    labels: npt.NDArray[np.int64], regions: npt.NDArray[np.int64], seed: int
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return two tests: a random quarter of the spectra, a quarter of each class's regions."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label in (0, 1):
        own = np.unique(regions[labels == label])
        chosen.extend(rng.permutation(own)[: max(len(own) // 4, 1)])
    return {"random": rng.random(labels.size) < 0.25, "region": np.isin(regions, chosen)}


def figure(path: Path, survey: Survey, real: Array, root: Path) -> None:
    """Draw profiles beside their nearest real ones, and spectrograms beside a real one."""
    shown, panels = plt.subplots(4, 6, figsize=(16, 11))
    for row, state in zip(panels[:3], (0, 1, 2), strict=True):
        spectra = profiles(float(state), 6, seed=2)
        for panel, spectrum, nearest in zip(row, spectra, distances(spectra, real)[1], strict=True):
            scale = np.interp(OVERLAP, NATIVE, spectrum).max()
            panel.plot(NATIVE, spectrum / scale, "C1", lw=0.8)
            panel.plot(OVERLAP, real[nearest], "k", lw=0.8)
            panel.set(xlim=(2793.3, 2804.6), ylim=(0, 1.05), yticks=[], xticks=(2796, 2800, 2804))
        row[0].set_ylabel(f"{STATES[state]} (real: black)")
    pictures = spectrograms(survey, root)
    for panel, (title, image, span) in zip(panels[3], pictures, strict=True):
        limits = (span[0], span[-1], 0, image.shape[0])
        panel.imshow(image, aspect="auto", origin="lower", vmin=0, vmax=500, extent=limits)
        panel.set_title(title, fontsize=9)
    shown.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    shown.savefig(path, dpi=70)


def spectrograms(survey: Survey, root: Path) -> list[tuple[str, Array, Array]]:
    """Return two real spectrograms, and of each class two synthetic ones."""
    counts, wavelength = real_rasters(root)
    found = [(f"real, exposure {i}", counts[i, 7:-5, 3:-3], wavelength[3:-3]) for i in (3, 100)]
    for label in ("active", "preflare"):
        observations = (draw_observation(survey, index) for index in range(survey.total))
        for each in [observation for observation in observations if observation.label == label][:2]:
            image = expose_raster(survey, each, draw_surface(survey, each), 0)[1]
            found.append((f"synthetic, {label}", image[:-1, 1:-1], survey.wavelength[1:-1]))
    return found


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regions", type=int, default=24)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, default=Path("docs/figures/iris_realism.png"))
    options = parser.parse_args()
    root = Path(os.environ["SOLARXAI_REAL_DATA"])
    torch.set_num_threads(1)
    real = centroids(root)
    between = np.sqrt(((real[:, None] - real) ** 2).mean(axis=-1)) + 9 * np.eye(len(real))
    print(f"distance of real centroids to the nearest other: {np.median(between.min(axis=1)):.4f}")
    for state, name in enumerate(STATES):
        away, nearest = distances(profiles(state, 1000, options.seed), real)
        low, middle, high = np.percentile(away, (10, 50, 90))
        print(
            f"{name:9s} distance {middle:.4f} [{low:.4f}, {high:.4f}], nearest to "
            f"{len(np.unique(nearest))} of {len(real)} centroids"
        )
    survey = Survey(regions=options.regions, seed=options.seed)
    rasters = exposed(survey)
    print("percentiles of DN:    " + "".join(f"{p:>8}" for p in PERCENTILES))
    whole = np.concatenate([counts.ravel() for _, counts, _ in rasters])
    measured = real_rasters(root)[0]
    for name, values in (("real", measured[measured > -100]), ("synthetic", whole[whole > FILL])):
        levels = np.percentile(values, PERCENTILES)
        print(f"{name:22s}" + "".join(f"{level:8.1f}" for level in levels))
    for label in ("active", "preflare"):
        patches = np.concatenate([p.ravel() for o, _, p in rasters if o.label == label])
        shares = np.bincount(patches, minlength=3) / patches.size
        print(
            f"{label:9s} " + ", ".join(f"{n} {s:.2f}" for n, s in zip(STATES, shares, strict=True))
        )
    for shared in (survey.shared_traits, 0.0):
        if not options.splits:
            break
        drawn = Survey(regions=options.regions, seed=options.seed, shared_traits=shared)
        spectra, labels, regions = cleaned(drawn, exposed(drawn))
        for name in ("random", "region"):
            scores = [
                skill(spectra, labels, held_out(labels, regions, seed)[name], seed)
                for seed in range(options.splits)
            ]
            print(
                f"shared_traits {shared:.1f}, {name} split: TSS {np.mean(scores):.2f} ("
                + ", ".join(f"{score:.2f}" for score in scores)
                + f") on {labels.size} spectra"
            )
    figure(options.figure, survey, real, root)


if __name__ == "__main__":
    main()
