"""Print every structure of the real images with its measurements and verdict, and draw them.

Needs real observations under $SOLARXAI_REAL_DATA; writes docs/figures/segmentation_real.png.
With --synthetic N it also prints how often the rule agrees with the truth of N synthetic scenes
of each mode. The tables are the source of the numbers in docs/photosphere.md.

    SOLARXAI_REAL_DATA=... python benchmarks/segmentation_calibration.py --synthetic 100
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr

from solarxai.catalog import Catalog, Reference
from solarxai.ingest import open_observation
from solarxai.photosphere import Photosphere, describe
from solarxai.provenance import file_hash
from solarxai.schema import LABELS, PENUMBRA, PORE, UMBRA
from solarxai.synthetic import write_hmi

mpl.use("Agg")
from matplotlib import pyplot as plt

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "segmentation_real.png"
PORES = "hmi/aia_l2_20230315_*_cont.fits"
CUBE = "hmi/cube_sunspot.fits"
CUBE_OPTIONS = {"plate_scale": "0.504 arcsec", "time": "2013-05-30T00:00:00", "unit": "DN / s"}
BARE = {"plate_scale": "0.504 arcsec", "time": "2011-02-15T00:00:00", "unit": "1"}
SST = {"plate_scale": "0.057 arcsec", "time": "2019-08-01T00:00:00", "unit": "ct"}
IMAGES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("AR 11158", "hmi/sharp_ar11158_20110215/*.continuum.fits", "hmi_sharp", {}),
    *((f"2023-03-15 {n}", PORES, "hmi_iris", {"frame": n}) for n in range(5)),
    *((f"cube {n}", CUBE, "hmi", {"frame": n, **CUBE_OPTIONS}) for n in (0, 9, 18, 21, 29)),
    ("AR 11158 core", "hmi/enhance_ar11158_hmi.fits", "hmi", BARE),
    ("MDI full disk", "mdi/mdi.fd_ic*.fits", "mdi", {}),
    ("SST", "ground/sst_*.fits", "generic", SST),
    ("DKIST", "ground/dkist_*.fits", "generic", {}),
]
DRAWN = {
    "AR 11158": (slice(60, 340), slice(170, 590)),
    "2023-03-15 0": (slice(140, 260), slice(60, 240)),
    "cube 0": (slice(None), slice(None)),
    "MDI full disk": (slice(590, 650), slice(105, 195)),
}
COLOURS = {"sunspot": "tab:red", "pore": "tab:cyan", "ambiguous": "gold"}
COLUMNS = "  x      y     mu   R/Mm   MSH  umbra/Mm2  I_min  width/Mm  plateau"


def open_real(root: Path, pattern: str, instrument: str, options: dict[str, Any]) -> xr.Dataset:
    """Return one real Observation."""
    path = next(iter(sorted(root.glob(pattern))))
    return open_observation(
        Reference(
            path=path,
            name=path.name,
            sha256=file_hash(path),
            instrument=instrument,
            region="calibration",
            origin="real",
            options=options,
        )
    )


def print_structures(name: str, photosphere: Photosphere) -> None:
    """Print the structures of one image."""
    quiet = photosphere.intensity[photosphere.segmentation == 0]
    left_out = {reason: n for reason, n in photosphere.discarded.items() if n}
    print(f"\n{name}: quiet Sun {quiet.mean():.4f} +- {quiet.std():.4f}, left out {left_out}")
    if photosphere.structures:
        print(COLUMNS)
    for s in photosphere.structures:
        m = s.measurements
        print(
            f"{s.x:6.1f} {s.y:6.1f} {m['mu']:5.2f} {np.sqrt(m['area_mm2'] / np.pi):6.2f} "
            f"{m['area_msh']:6.1f} {m['umbra_area_mm2']:9.1f} {m['minimum_intensity']:7.2f} "
            f"{m['penumbra_width_mm']:8.2f} {m['penumbra_plateau']:9.2f}  {s.label}"
            f"{' (cut by the border)' if s.at_border else ''}"
        )


def draw(photospheres: dict[str, Photosphere]) -> None:
    """Draw the chosen cutouts with the outlines of their classes."""
    figure, axes = plt.subplots(2, 2, figsize=(14, 10), layout="constrained")
    for axis, (name, (rows, columns)) in zip(axes.flat, DRAWN.items(), strict=True):
        photosphere = photospheres[name]
        left, bottom = columns.start or 0, rows.start or 0
        image = photosphere.intensity[rows, columns]
        height, width = image.shape
        extent = (left - 0.5, left + width - 0.5, bottom - 0.5, bottom + height - 0.5)
        axis.imshow(image, origin="lower", cmap="gray", vmin=0.1, vmax=1.15, extent=extent)
        classes = photosphere.segmentation[rows, columns]
        for members, colour in (((UMBRA,), "tab:orange"), ((UMBRA, PENUMBRA), "tab:red"),
                                ((PORE,), "tab:cyan"), ((255,), "gold")):  # fmt: skip
            mask = np.isin(classes, members)
            if mask.any():
                axis.contour(mask, [0.5], colors=[colour], linewidths=0.8, extent=extent)
        for s in photosphere.structures:
            if extent[0] < s.x < extent[1] and extent[2] < s.y < extent[3]:
                axis.plot(s.x, s.y, "+", color=COLOURS[s.label])
        axis.set(title=name, xlabel="x (px)", ylabel="y (px)")
    keys = [plt.Line2D([], [], color=c, marker="+", label=label) for label, c in COLOURS.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=3)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=90, metadata={"Software": None})


def print_confusion(mode: Any, n: int) -> None:
    """Print the rule's verdicts on synthetic structures against their truth."""
    with tempfile.TemporaryDirectory() as folder:
        write_hmi(Path(folder), n=n, mode=mode, seed=1)
        catalog = Catalog.load(Path(folder) / "catalog.yaml")
        tally: Counter[tuple[str, str]] = Counter()
        for reference in catalog.references:
            for s in describe(open_observation(reference)).structures:
                if s.label_source == "truth" and not s.at_border:
                    tally[s.label, s.rule_label] += 1
    print(f"\n{mode}: truth (rows) against rule (columns), {n} scenes")
    print(f"{'':10}" + "".join(f"{label:>11}" for label in LABELS))
    for truth in ("pore", "sunspot"):
        print(f"{truth:10}" + "".join(f"{tally[truth, rule]:11d}" for rule in LABELS))


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--synthetic", type=int, default=0, metavar="N")
    options = parser.parse_args()
    root = Path(os.environ["SOLARXAI_REAL_DATA"])
    photospheres = {name: describe(open_real(root, *where)) for name, *where in IMAGES}
    for name, photosphere in photospheres.items():
        print_structures(name, photosphere)
    draw(photospheres)
    for mode in ("natural", "matched", "adversarial") if options.synthetic else ():
        print_confusion(mode, options.synthetic)


if __name__ == "__main__":
    main()
