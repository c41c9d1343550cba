"""Are cheats convicted and honest networks acquitted? Trainings on planted cheats, and the verdict.

    python benchmarks/conviction.py --out DIR [--seeds 5] [--cheats corner_pixel ...] [--write]

DIR gets the synthetic Sun (once) and a JSON file a network; what is there is not done again, so a
run may be stopped at any time, and several may be told to do different cheats. --write puts the
confusion of all finished networks into docs/validation/cheats.md, below the line that says so.

Every network is one small residual network (width 8) on patches of 48 × 48 pixels of 0.5 Mm: a few
hundred scenes, half of them *matched* (a sunspot and a pore of equal area, depth and deficit), half
*adversarial* (the same cores with and without penumbra), split by region. Cheats are planted in
train and test alike. Networks that cheat are trained with the usual augmentation but for the part
that would hide their cue.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from conviction_page import PAGE, page, write

from solarxai.attribution import draw_baselines
from solarxai.blocks import concatenate
from solarxai.catalog import Catalog
from solarxai.classifier import Classifier
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.ingest import ingest
from solarxai.metrics import fit_logistic
from solarxai.splits import split
from solarxai.synthetic.archive import write_hmi
from solarxai.synthetic.cheats import plant
from solarxai.training import Augmentation, train
from solarxai.validation.causal.nuisances import Amplitudes
from solarxai.validation.causal.positional import follow, positional_checks
from solarxai.validation.causal.trial import Scenes, causal_checks, draw_scenes, gather
from solarxai.validation.causal.verdict import reach_verdict
from solarxai.validation.report import Limits, Resampling

SIDE, SCALE_MM = 48, 0.5
SUN = 1  # seed of the scenes and of their split; limits were set on those of seed 0
MODES = ("matched", "adversarial")
LIMITS, RESAMPLING = Limits(), Resampling(n=500, seed=0)
AMPLITUDES = Amplitudes(move_px=6, moves=3)  # patches of 48 pixels leave no room for more


USUAL = Augmentation()


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One kind of network: what is planted, in which scenes, and how it is trained."""

    cheat: str = ""
    strength: float | None = None
    modes: tuple[str, ...] = MODES
    augment: Augmentation = USUAL


ARMS: Mapping[str, Arm] = {
    "honest": Arm(),
    "corner_pixel": Arm(
        cheat="corner_pixel",
        augment=replace(USUAL, orientations=False, warp=0.0, shift_px=0.0, blur_px=0.0),
    ),
    "corner_pixel, usual augmentation": Arm(cheat="corner_pixel"),
    "brightness": Arm(cheat="brightness", augment=replace(USUAL, brightness=0.0)),
    "mu": Arm(cheat="mu", strength=0.5, augment=replace(USUAL, orientations=False, warp=0.0)),
    "mu, strength 0.3": Arm(cheat="mu", augment=replace(USUAL, foreshortening=1.0)),
    "roll": Arm(cheat="roll", augment=replace(USUAL, orientations=False, warp=0.0)),
    "crop_scale": Arm(cheat="crop_scale", augment=replace(USUAL, zoom=(1.0, 1.0))),
    "honest, matched scenes alone": Arm(modes=("matched",)),
    "honest, no augmentation": Arm(
        augment=Augmentation(
            orientations=False, warp=0.0, shift_px=0, blur_px=0, brightness=0, contrast=0, noise=0
        )
    ),
}


@lru_cache
def archive(out: Path, mode: str, scenes: int) -> xr.Dataset:
    """Return the patches of one mode, drawn and ingested once."""
    path = out / "archive" / mode / "samples.nc"
    if not path.is_file():
        catalog = write_hmi(path.parent, n=scenes, mode=mode, seed=SUN)  # type: ignore[arg-type]
        blocks = [ingest(reference) for reference in Catalog.load(catalog).references]
        made = concatenate([block for block in blocks if block.sizes["sample"]])
        made.isel(sample=np.flatnonzero(made["label"] != "ambiguous")).drop_vars(
            "header"
        ).to_netcdf(path)
    found = xr.load_dataset(path)
    margin = (found.sizes["y"] - SIDE) // 2
    middle = slice(margin, margin + SIDE)
    named = found.isel(y=middle, x=middle)
    for name in ("sample_id", "observation"):
        words = [f"{mode}-{one}" for one in found[name].values]
        named = named.assign_coords({name: ("sample", np.array(words, dtype=object))})
    header = ("sample", np.array([""] * found.sizes["sample"], dtype=object))
    return named.assign_coords(
        header=header,
        wcs_crpix1=("sample", found["wcs_crpix1"].values - margin),
        wcs_crpix2=("sample", found["wcs_crpix2"].values - margin),
    )


@lru_cache(maxsize=24)
def data(out: Path, scenes: int, arm: Arm, agreement: float = 1.0) -> xr.Dataset:
    """Return the samples of an arm with their split; train and test have the cue alike."""
    parts = [archive(out, mode, scenes) for mode in MODES]
    whole = split(xr.concat(parts, dim="sample", coords="minimal", compat="override"), seed=SUN)
    kept = np.array([name.split("-")[0] for name in whole["sample_id"].values])
    side = whole["split"].values.copy()
    side[(side != "test") & ~np.isin(kept, arm.modes)] = "excluded"
    whole = whole.assign_coords(split=("sample", side, whole["split"].attrs))
    if not arm.cheat:
        return whole
    return plant(whole, arm.cheat, strength=arm.strength, agreement=agreement)


def held_out(samples: xr.Dataset) -> xr.Dataset:
    """Return the samples no network saw."""
    return samples.isel(sample=np.flatnonzero(samples["split"].values == "test"))


@lru_cache(maxsize=16)
def drawn(out: Path, scenes: int, arm: Arm) -> Scenes:
    """Return the nuisances and the moves of the test samples of a cheat, whatever the network."""
    test = held_out(data(out, scenes, arm))
    made = draw_scenes(test, scale_mm=SCALE_MM, amplitudes=AMPLITUDES)
    return replace(made, disturbed=list(made.disturbed))


def accuracy(classifier: Classifier, samples: xr.Dataset) -> float:
    """Return the fraction of samples called by their label."""
    called = classifier.margins(samples["image"].values) > 0
    return float(np.mean(called == (samples["label"].values == "sunspot")))


def cue_alone(samples: xr.Dataset) -> float:
    """Return the accuracy of a logistic regression on the planted value, fitted on train."""
    truth, value = samples["label"].values == "sunspot", samples["planted"].values
    learn, test = (samples["split"].values == name for name in ("train", "test"))
    fitted = fit_logistic(value[learn], truth[learn])
    return float(np.mean((fitted.probability(value[test]) > 0.5) == truth[test]))


def explainers(
    classifier: Classifier, samples: xr.Dataset, arm: Arm
) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Yield methods by name, as functions of images; those of honest networks from patches too.

    Expected Gradients from a baseline of even quiet Sun are Integrated Gradients; from patches they
    also tell where the baselines have their structures: in the middle, wherever this one is.
    """
    patches = draw_baselines(samples, classifier, n=50)
    quiet = classifier.tensor(np.ones((1, SIDE, SIDE), dtype=np.float32))
    expected = ExpectedGradients(samples=24)
    made: dict[str, tuple[Any, Any]] = {
        "integrated gradients from quiet Sun": (expected, quiet),
    }
    if not arm.cheat:
        made["expected gradients from patches"] = (expected, patches)
    for name, (explainer, baselines) in made.items():

        def explain(
            images: np.ndarray, explainer: Any = explainer, baselines: Any = baselines
        ) -> np.ndarray:
            x = classifier.tensor(images)
            found = explainer(classifier.network, x, baselines=baselines)
            return np.asarray(found.values[:, 0])

        yield name, explain


def measured(out: Path, scenes: int, arm: Arm, seed: int, epochs: int) -> dict[str, Any]:
    """Train one network and return what every causal test says of it."""
    samples = data(out, scenes, arm)
    start = time.process_time()
    trained = train(
        samples, epochs=epochs, model_options={"width": 8}, seed=seed, n_bootstrap=20,
        augment=arm.augment, scale_mm=SCALE_MM,
    )  # fmt: skip
    spent = time.process_time() - start
    classifier, test = trained.classifier, held_out(samples)
    images = drawn(out, scenes, arm)
    evidence = gather(test, classifier, images, seed=seed, limits=LIMITS)
    checks = causal_checks(evidence, test, limits=LIMITS, resampling=RESAMPLING)
    verdict = reach_verdict(checks, "synthetic", limits=LIMITS)
    spent_judging = time.process_time() - start - spent
    placed = [
        check
        for method, explain in explainers(classifier, samples, arm)
        for check in positional_checks(
            follow(images.samples, images.moves, explain), images.samples, method=method,
            limits=LIMITS, resampling=RESAMPLING,
        )
    ]  # fmt: skip
    record: dict[str, Any] = {
        "outcome": verdict.outcome,
        "convicted_of": list(verdict.convicted_of),
        "needs": list(verdict.needs),
        "swayed_by": list(verdict.swayed_by),
        "sentence": verdict.sentence,
        "accuracy": accuracy(classifier, test),
        "structures": test.sizes["sample"],
        "training_s": spent,
        "judging_s": spent_judging,
        "checks": [asdict(check) for check in checks],
        "positional": [asdict(check) for check in placed],
    }
    if arm.cheat:
        record["cue_alone"] = cue_alone(samples)
        opposite = held_out(data(out, scenes, arm, 0.0))
        record["accuracy_reversed"] = accuracy(classifier, opposite)
    return record


def main() -> None:
    """Train what is missing, one after the other, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scenes", type=int, default=480, help="of each mode")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--cheats", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    parser.add_argument("--no-training", action="store_true", help="write what there is")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(0 if given.no_training else given.seeds):
        for name in given.cheats:
            word = name.replace(",", "").replace(" ", "_")
            path = given.out / "networks" / f"{word}-{seed}.json"
            if path.is_file():
                continue
            made = measured(given.out, given.scenes, ARMS[name], seed, given.epochs)
            path.parent.mkdir(parents=True, exist_ok=True)
            record = {"arm": name, "seed": seed, "epochs": given.epochs, **made}
            partial = path.with_suffix(".part")
            partial.write_text(json.dumps(record, indent=1))
            partial.replace(path)
            print(f"{name}, seed {seed}: {made['sentence']}", flush=True)
    print(page(given.out, list(ARMS)))
    if given.write:
        write(given.out, list(ARMS))


if __name__ == "__main__":
    main()
