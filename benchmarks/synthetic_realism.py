"""Compare the synthetic Sun with real HMI images: a table and docs/figures/synthetic_realism.png.

    SOLARXAI_REAL_DATA=... python benchmarks/synthetic_realism.py [--scenes 96] [--figure PATH]

Both go through the same measurements: the quiet Sun's contrast, skewness and power spectrum; and
for every connected region below 0.9 of the quiet Sun (Gaussian of 1 pixel), its area, minimum,
mean deficit, umbral share, and mean intensity by distance from its outline.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from astropy.io import fits
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from solarxai.synthetic import draw_scene, render
from solarxai.synthetic.image import sky
from solarxai.synthetic.sun import limb_darkening, mu_at

Image = npt.NDArray[np.float64]
DEPTHS = np.arange(0, 4.01, 0.5)
WAVENUMBERS = np.arange(0, 1.31, 0.1)


@dataclass(frozen=True, kw_only=True)
class Dark:
    """What one dark region measures: Mm, Mm², intensities relative to the quiet Sun."""

    area: float
    umbra: float
    minimum: float
    deficit: float
    penumbra: float
    texture: float
    profile: npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One image relative to its quiet Sun, its pixel in Mm, and a quiet part of it."""

    name: str
    image: Image
    pixel: float
    quiet: tuple[slice, slice]


def measure(image: Image, mask: npt.NDArray[np.bool_], pixel: float) -> Dark:
    """Return what the pixels of a mask measure."""
    smooth = ndimage.gaussian_filter(image, 1)
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] * pixel
    umbra = mask & (smooth < 0.5)
    pure = mask & (inside > 1.2) & ~ndimage.binary_dilation(smooth < 0.55, iterations=3)
    fine = image - ndimage.gaussian_filter(image, 3)
    rings = [mask & (inside >= a) & (inside < a + 0.5) for a in DEPTHS[:-1]]
    return Dark(
        area=mask.sum() * pixel**2,
        umbra=umbra.sum() / mask.sum(),
        minimum=image[mask].min(),
        deficit=float(np.mean(1 - image[mask])),
        penumbra=image[pure].mean() if pure.any() else np.nan,
        texture=fine[pure].std() if pure.sum() > 30 else np.nan,
        profile=np.array([image[ring].mean() if ring.any() else np.nan for ring in rings]),
    )


def dark_regions(image: Image, pixel: float, *, smallest: float = 2.0) -> list[Dark]:
    """Return the connected dark regions of at least `smallest` Mm² that touch no edge."""
    labels, number = ndimage.label(ndimage.gaussian_filter(image, 1) < 0.9)
    edges = set(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]).tolist())
    masks = (labels == i for i in range(1, number + 1) if i not in edges)
    return [measure(image, m, pixel) for m in masks if m.sum() * pixel**2 >= smallest]


def central_region(image: Image, pixel: float, x: float, y: float) -> Dark | None:
    """Return the dark region nearest to (x, y), if one is within 4 pixels."""
    labels, _ = ndimage.label(ndimage.gaussian_filter(image, 1) < 0.9)
    rows, columns = np.nonzero(labels)
    away = np.hypot(rows - y, columns - x)
    if not away.size or away.min() > 4:
        return None
    nearest = int(away.argmin())
    return measure(image, labels == labels[rows[nearest], columns[nearest]], pixel)


def power_spectrum(quiet: Image, pixel: float) -> npt.NDArray[np.float64]:
    """Return the variance per (cycles per Mm)² in rings of `WAVENUMBERS`, times 1e6."""
    taper = np.outer(np.hanning(quiet.shape[0]), np.hanning(quiet.shape[1]))
    power = np.abs(np.fft.fft2((quiet / quiet.mean() - 1) * taper)) ** 2 * pixel**2
    ky, kx = (np.fft.fftfreq(size, pixel) for size in quiet.shape)
    ring = np.digitize(np.hypot(ky[:, None], kx[None, :]), WAVENUMBERS)
    return np.array(
        [power[ring == i].mean() / (taper**2).sum() * 1e6 for i in range(1, WAVENUMBERS.size)]
    )


def real_fields(root: Path) -> list[Field]:
    """Return the real HMI continuum images, with their quiet parts."""
    hmi = root / "hmi"
    sharp = fits.getdata(next(hmi.glob("sharp_*/*continuum.fits")), 1)
    pores = fits.getdata(next(hmi.glob("aia_l2_*_cont.fits")), 0)[0]
    cube = fits.getdata(hmi / "cube_sunspot.fits")[0]
    return [
        Field(
            name="AR 11158",
            image=sharp / np.median(sharp),
            pixel=0.3645,
            quiet=np.s_[5:105, 400:700],
        ),
        Field(name="2023-03-15", image=flattened(pores), pixel=0.3655, quiet=np.s_[5:140, 5:300]),
        Field(name="cube", image=cube / np.median(cube), pixel=0.3655, quiet=np.s_[90:126, 50:126]),
    ]


def flattened(image: Image) -> Image:
    """Return an image divided by the second-order surface through its quiet pixels."""
    rows, columns = image.shape
    y, x = np.indices(image.shape) / np.array([rows, columns])[:, None, None] - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    quiet = np.ones(image.shape, dtype=bool)
    for _ in range(4):
        fit = terms @ np.linalg.lstsq(terms[quiet], image[quiet], rcond=None)[0]
        quiet = np.abs(image / fit - 1) < 0.1
    return np.asarray(image / fit)


def synthetic_field(index: int, *, seed: int, mode: str) -> tuple[Field, str, Dark | None, int]:
    """Return a synthetic image without limb darkening, the centre's label, and what it measures."""
    scene = draw_scene(seed, index, mode=mode)
    picture = render(scene)
    x, y = sky(scene.view, scene.region, picture.counts.shape)
    image = picture.counts / limb_darkening(mu_at(scene.view.observer, x, y))
    image = (image / np.median(image)).astype(float)
    pixel, centre = scene.view.optics.pixel_mm, picture.structures[0]
    field = Field(name=f"scene {index}", image=image, pixel=pixel, quiet=np.s_[:, :])
    found = central_region(image, pixel, centre.x, centre.y)
    return field, centre.label, found, scene.region.number


def quiet_synthetic(index: int, *, seed: int) -> Field:
    """Return a synthetic image with its structures taken away: the quiet Sun near disk centre."""
    scene = draw_scene(seed, index, clutter=False)
    image = render(replace(scene, structures=())).counts.astype(float)
    return Field(
        name="quiet",
        image=image / image.mean(),
        pixel=scene.view.optics.pixel_mm,
        quiet=np.s_[:, :],
    )


def shortcut_aucs(scenes: int, *, seed: int) -> dict[str, float]:
    """Return the AUC, cross-validated by region, of a logistic regression on each single number."""
    fields = [synthetic_field(index, seed=seed, mode="matched") for index in range(scenes)]
    kept = [(d, label, region) for _, label, d, region in fields if d is not None]
    truth = np.array([label == "sunspot" for _, label, _ in kept])
    groups = np.array([region for _, _, region in kept])
    columns = {
        "area": [np.log(d.area) for d, _, _ in kept],
        "minimum intensity": [d.minimum for d, _, _ in kept],
        "integrated deficit": [np.log(d.area * d.deficit) for d, _, _ in kept],
    }
    return {name: cross_validated_auc(column, truth, groups) for name, column in columns.items()}


def cross_validated_auc(
    column: Sequence[float], truth: npt.NDArray[np.bool_], groups: npt.NDArray[np.int64]
) -> float:
    """Return the AUC of a logistic regression on one column, five folds that share no region."""
    x = np.array(column)[:, None]
    model = LogisticRegression()
    folds = GroupKFold(5)
    score = cross_val_predict(
        model, (x - x.mean()) / x.std(), truth, groups=groups, cv=folds, method="predict_proba"
    )
    return float(roc_auc_score(truth, score[:, 1]))


def row(name: str, real: Iterable[float], synthetic: Iterable[float]) -> None:
    """Print the median and the range from the 10th to the 90th percentile of both sides."""
    text = []
    for side in (real, synthetic):
        values = np.array([v for v in side if np.isfinite(v)])
        low, mid, high = np.percentile(values, (10, 50, 90))
        text.append(f"{mid:7.3f} [{low:6.3f}, {high:6.3f}] n={values.size:3d}")
    print(f"{name:38s} {text[0]:36s} {text[1]}")


def quiet_sun(field: Field) -> Image:
    """Return the quiet part of an image relative to its mean."""
    return field.image[field.quiet] / field.image[field.quiet].mean()


def examples(
    drawn: list[tuple[Field, str, Dark | None, int]], label: str, area: float
) -> list[Image]:
    """Return the middles of synthetic images whose centre is of a class and above an area."""
    return [
        field.image[20:140, 20:140]
        for field, found, dark, _ in drawn
        if found == label and dark is not None and dark.area > area
    ]


def skewness(values: Image) -> float:
    """Return the skewness of a sample."""
    away = values - values.mean()
    return float((away**3).mean() / (away**2).mean() ** 1.5)


def figure(
    path: Path,
    fields: list[Field],
    quiets: list[Field],
    sides: dict[str, tuple[list[Dark], list[Dark]]],
    pictures: list[tuple[str, Image]],
) -> None:
    """Draw real and synthetic pictures and the three comparisons."""
    shown, panels = plt.subplots(3, 5, figsize=(15, 9.4))
    crops = [
        ("real: AR 11158", fields[0].image[230:350, 467:587]),
        ("real: AR 11158", fields[0].image[185:305, 310:430]),
        ("real: AR 11158", fields[0].image[95:215, 175:295]),
        ("real: 2023-03-15", fields[1].image[160:280, 105:225]),
        ("real: cube", fields[2].image[4:124, 4:124]),
    ]
    for panel, (title, image) in zip(panels[:2].flat, crops + pictures, strict=True):
        panel.imshow(image, cmap="gray", vmin=0.1, vmax=1.15, origin="lower")
        panel.set_title(title, fontsize=9)
        panel.axis("off")
    spectra, skew, profile, depth, mean = panels[2]
    middles = (WAVENUMBERS[1:] + WAVENUMBERS[:-1]) / 2
    for group, style, label in ((fields, "k-", "real"), (quiets[:12], "C1-", "synthetic")):
        for i, field in enumerate(group):
            power = power_spectrum(field.image[field.quiet], field.pixel)
            spectra.semilogy(middles, power, style, lw=1, alpha=0.8, label=label if not i else None)
    spectra.set(xlabel="wavenumber, 1/Mm", title="power of granulation", ylim=(0.1, 4000))
    spectra.legend(fontsize=8)
    for group, colour in ((fields, "k"), (quiets, "C1")):
        values = np.concatenate([quiet_sun(field).ravel() for field in group])
        bins = np.linspace(0.88, 1.12, 49)
        skew.hist(values, bins=bins, density=True, histtype="step", color=colour)
    skew.set(xlabel="I / quiet Sun", title="granulation")
    inside = (DEPTHS[1:] + DEPTHS[:-1]) / 2
    for kind, dash in (("sunspot", "-"), ("pore", "--")):
        for group, colour in zip(sides[kind], ("k", "C1"), strict=True):
            profiles = np.array([dark.profile for dark in group])
            deep = np.isfinite(profiles).sum(axis=0) >= 3
            low, mid, high = np.nanpercentile(profiles[:, deep], (10, 50, 90), axis=0)
            profile.plot(inside[deep], mid, dash, color=colour)
            profile.fill_between(inside[deep], low, high, color=colour, alpha=0.1)
            radius = [np.sqrt(dark.area / np.pi) for dark in group]
            marker = "o" if kind == "sunspot" else "x"
            depth.plot(radius, [dark.minimum for dark in group], marker, color=colour, ms=4)
            mean.plot(radius, [dark.deficit for dark in group], marker, color=colour, ms=4)
    profile.set(xlabel="distance inside the outline, Mm", title="spots solid, pores dashed")
    depth.set(xlabel="radius, Mm", title="minimum (spots o, pores x)", xscale="log")
    mean.set(xlabel="radius, Mm", title="mean deficit", xscale="log")
    shown.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    shown.savefig(path, dpi=80)


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, default=Path("docs/figures/synthetic_realism.png"))
    options = parser.parse_args()
    fields = real_fields(Path(os.environ["SOLARXAI_REAL_DATA"]))
    drawn = [
        synthetic_field(index, seed=options.seed, mode="natural") for index in range(options.scenes)
    ]
    quiets = [quiet_synthetic(index, seed=options.seed) for index in range(24)]
    real = [dark for field in fields for dark in dark_regions(field.image, field.pixel)]
    found = [(label, dark) for _, label, dark, _ in drawn if dark is not None]
    spots = [d for d in real if d.umbra * d.area > 13], [d for la, d in found if la == "sunspot"]
    pores = [d for d in real if d.umbra * d.area < 4], [d for la, d in found if la == "pore"]
    print(f"{'':38s} {'real':36s} synthetic   (median [10 %, 90 %])")
    sides = [[quiet_sun(field) for field in group] for group in (fields, quiets)]
    row("granulation: contrast", *([q.std() for q in side] for side in sides))
    row("granulation: skewness", *([skewness(q) for q in side] for side in sides))
    spectra = [
        np.array([power_spectrum(f.image[f.quiet], f.pixel) for f in group])
        for group in (fields, quiets)
    ]
    for ring in (2, 4, 6, 8):
        shares = [side[:, ring] / side[:, 1:].sum(axis=1) for side in spectra]
        row(f"granulation: power at {WAVENUMBERS[ring] + 0.05:.2f}/Mm (share)", *shares)
    for kind, groups in (("sunspots", spots), ("pores", pores)):
        row(f"{kind}: radius, Mm", *([np.sqrt(d.area / np.pi) for d in g] for g in groups))
        row(f"{kind}: minimum intensity", *([d.minimum for d in g] for g in groups))
        row(f"{kind}: mean deficit", *([d.deficit for d in g] for g in groups))
    row("sunspots: umbra share of area", *([d.umbra for d in g] for g in spots))
    ratios = ([1 / d.umbra - 1 for d in g if d.umbra] for g in spots)
    row("sunspots: penumbra / umbra area", *ratios)
    row("sunspots: intensity of the penumbra", *([d.penumbra for d in g] for g in spots))
    row("sunspots: rms of filaments", *([d.texture for d in g] for g in spots))
    for ring in (0, 2, 4, 6):
        groups = ([d.profile[ring] for d in g] for g in spots)
        row(f"sunspots: I at {DEPTHS[ring] + 0.25:.2f} Mm inside the outline", *groups)
    large = [[d for d in side if d.area > 180] for side in spots]
    row("sunspots above 180 Mm2: minimum", *([d.minimum for d in g] for g in large))
    row("sunspots above 180 Mm2: mean deficit", *([d.deficit for d in g] for g in large))
    row("sunspots above 180 Mm2: umbra share", *([d.umbra for d in g] for g in large))
    for name, auc in shortcut_aucs(2 * options.scenes, seed=options.seed + 1).items():
        print(f"matched mode, {2 * options.scenes} scenes: AUC of {name} alone {auc:.3f}")
    picked = examples(drawn, "sunspot", 120)
    pictures = [
        ("synthetic", image) for image in (*picked[:3], examples(drawn, "pore", 12)[0], picked[3])
    ]
    figure(options.figure, fields, quiets, {"sunspot": spots, "pore": pores}, pictures)


if __name__ == "__main__":
    main()
