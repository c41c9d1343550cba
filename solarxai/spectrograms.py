"""Spectrograms cut from rasters, one an exposure, and single spectra taken from spectrograms."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
import xarray as xr
from astropy.io.fits import Header

from solarxai import spectra
from solarxai.errors import SchemaError
from solarxai.events import FlareList, LabelRule, LabelTable, RegionTable, label_exposures
from solarxai.schema import SPECTROGRAM, WCS_NUMBERS, WCS_WORDS, check_samples, kind_of

__all__ = ["cut", "flatten", "join"]

Array = npt.NDArray[Any]

_KEPT = 0
_TOGETHER = 1024
"""Spectra whose rates are copied at a time, of one exposure or more."""

_WORDS = ("region", "origin", "instrument", "observation", "time_scale", "time_original", "header")


def cut(
    raster: xr.Dataset,
    *,
    grid: str = "study",
    cleaning: spectra.Cleaning | None = None,
    flares: FlareList | None = None,
    rule: LabelRule | None = None,
    regions: RegionTable | None = None,
) -> xr.Dataset:
    """Return spectrogram Samples of a raster: cleaned, regridded, normalised, measured, labelled.

    Parameters
    ----------
    raster
        A raster Observation (see `solarxai.schema.check_raster`).
    grid
        "study", the 240 wavelengths of Panos et al. 2023, or "native", the instrument's own.
    cleaning
        Which spectra are dropped; the published steps if None.
    flares, rule, regions
        The list that labels come from, how (the default rule if None), and where regions were;
        without a list every exposure is *ambiguous*.

    Returns
    -------
    xarray.Dataset
        One sample an exposure that has a kept spectrum, on (sample, slit, wavelength), with
        `quality`, `peak` and `feature_<name>` on (sample, slit). Its attribute `counts` accounts
        for every spectrum: kept and dropped by reason add up to all.

    Notes
    -----
    Cleaning sees counts (DN an exposure, on the raster's own wavelengths), where its thresholds
    are defined; features and the maximum are measured on the common grid.
    """
    common = spectra.named_grid(grid, raster["wavelength"].values * u.AA)
    measured = _measured(raster, common, cleaning or spectra.Cleaning())
    quality = measured.quality
    labels = _labels(raster, flares, rule or LabelRule(), regions)
    made = xr.Dataset(
        {
            "image": (SPECTROGRAM.dims, measured.image, {"units": "1"}),
            "quality": (SPECTROGRAM.dims[:2], quality, _flags()),
            "peak": (SPECTROGRAM.dims[:2], measured.peak, dict(raster["intensity"].attrs)),
            **_features(measured.features),
        },
        coords={
            "wavelength": ("wavelength", common.to_value(u.AA), {"units": "Angstrom"}),
            **_columns(raster, labels),
        },
    )  # fmt: skip
    seen = (quality == _KEPT).any(axis=1)
    tally = _tally(quality, seen, labels) | {"rasters": int(raster["step"].values[0] == 0)}
    kept = made if seen.all() else made.isel(sample=np.flatnonzero(seen))
    return check_samples(kept.assign_attrs(grid=grid, counts=json.dumps(tally, sort_keys=True)))


def join(parts: Iterable[xr.Dataset], *, exposures: int) -> xr.Dataset:
    """Return the spectrogram Samples of a raster from those of its parts, their counts added up.

    Parameters
    ----------
    parts
        What `cut` gives for steps that follow each other, at least one; each is let go once its
        spectra are copied, so that there is no second copy of all.
    exposures
        Most rows of all parts together.
    """
    following = iter(parts)
    first = next(following)
    second = next(following, None)
    if second is None:
        return first
    image = np.empty((exposures, *first["image"].shape[1:]), dtype=np.float32)
    others, tally = [], Counter[str]()
    for start, part in _placed(chain((first, second), following)):
        image[start : start + part.sizes["sample"]] = part["image"].values
        tally.update(json.loads(part.attrs["counts"]))
        others.append(part.drop_vars("image"))
    del first, second
    joined = xr.concat(
        others, dim="sample", coords="minimal", compat="override", combine_attrs="override"
    )
    rows = image[: joined.sizes["sample"]]
    made = xr.Dataset(
        {"image": (SPECTROGRAM.dims, rows, {"units": "1"}), **joined.data_vars},
        coords=joined.coords,
        attrs=joined.attrs | {"counts": json.dumps(tally, sort_keys=True)},
    )
    return check_samples(made)


def _placed(parts: Iterable[xr.Dataset]) -> Iterator[tuple[int, xr.Dataset]]:
    """Yield parts with the number of rows before each."""
    start = 0
    for part in parts:
        yield start, part
        start += part.sizes["sample"]


def flatten(samples: xr.Dataset) -> xr.Dataset:
    """Return spectrum Samples: one row a kept spectrum, with its exposure's columns.

    Parameters
    ----------
    samples
        Spectrogram Samples, with or without maps; those on (sample, slit, ...) are taken along.

    Returns
    -------
    xarray.Dataset
        On (sample, wavelength), in the order of exposures and positions along the slit, with the
        columns `exposure` and `slit`; `sample_id` is "<exposure>-y<slit>".

    Raises
    ------
    SchemaError
        when these are no spectrograms.
    """
    if kind_of(samples) is not SPECTROGRAM:
        raise SchemaError(
            f"spectra are taken from spectrograms, and these samples are on "
            f"{samples['image'].dims if 'image' in samples else tuple(samples.dims)}",
            remedy="Give samples on (sample, slit, wavelength).",
        )
    rows, slits = np.nonzero(samples["quality"].values == _KEPT)
    taken = {
        str(name): (("sample", *values.dims[2:]), values.values[rows, slits], values.attrs)
        for name, values in samples.data_vars.items()
        if values.dims[:2] == ("sample", "slit") and name != "quality"
    }
    coords = {
        str(name): (values.dims, values.values[rows], values.attrs)
        for name, values in samples.variables.items()
        if values.dims == ("sample",)
    }
    exposures = samples["sample_id"].values[rows]
    named = [f"{one}-y{slit:04d}" for one, slit in zip(exposures, slits.tolist(), strict=True)]
    made = xr.Dataset(taken, coords=coords, attrs=samples.attrs)
    return check_samples(
        made.assign_coords(
            wavelength=samples["wavelength"],
            sample_id=("sample", np.array(named, dtype=object)),
            exposure=("sample", exposures),
            slit=("sample", slits.astype(np.int64)),
            peak=made["peak"],
        )
    )


def _measured(raster: xr.Dataset, grid: u.Quantity, cleaning: spectra.Cleaning) -> spectra.Measured:
    """Return what is known of each spectrum, on (step, slit), some exposures at a time."""
    steps, slits, points = raster["intensity"].shape
    wavelength, together = raster["wavelength"].values * u.AA, max(1, _TOGETHER // slits)
    intensity, valid = raster["intensity"].values, raster["valid"].values
    exposure = np.repeat(raster["exposure_time"].values, slits)
    saa = np.repeat(raster["saa"].values, slits)
    made = spectra.Measured.empty(steps * slits, len(grid))
    for start in range(0, steps, together):
        part = slice(start, start + together)
        rate = np.where(valid[part], intensity[part], np.float32(np.nan))
        rows = slice(start * slits, start * slits + rate.shape[0] * slits)
        spectra.measure(
            rate.reshape(-1, points), wavelength, grid, exposure=exposure[rows], saa=saa[rows],
            cleaning=cleaning, out=made.rows(rows),
        )  # fmt: skip
    return spectra.Measured(
        image=made.image.reshape(steps, slits, -1),
        quality=made.quality.reshape(steps, slits),
        peak=made.peak.reshape(steps, slits),
        features={name: each.reshape(steps, slits) for name, each in made.features.items()},
    )


def _flags() -> dict[str, str]:
    """Return the CF attributes that say what the values of `quality` mean."""
    return {
        "flag_values": " ".join(map(str, spectra.REASONS)),
        "flag_meanings": " ".join(spectra.REASONS.values()),
    }


def _features(measured: Mapping[str, Array]) -> dict[str, tuple[Any, ...]]:
    """Return the line features as variables on (step, slit)."""
    return {
        f"feature_{name}": (
            SPECTROGRAM.dims[:2],
            values,
            dict(zip(("units", "long_name"), spectra.FEATURES[name], strict=True)),
        )
        for name, values in measured.items()
    }


def _labels(
    raster: xr.Dataset,
    flares: FlareList | None,
    rule: LabelRule,
    regions: RegionTable | None,
) -> LabelTable | None:
    if flares is None:
        return None
    place: dict[str, Any] = {}
    if regions is not None:
        middle = raster.sizes["slit"] // 2
        for name in ("solar_x", "solar_y"):
            place[name] = raster[name].values[:, middle] * u.arcsec
        place["regions"] = regions
    return label_exposures(raster["time"].values, raster.attrs["region"], flares, rule, **place)


def _columns(raster: xr.Dataset, labels: LabelTable | None) -> dict[str, tuple[Any, ...]]:
    """Return every column of the exposures of a raster."""
    n, attrs = raster.sizes["step"], raster.attrs
    middle, number = raster.sizes["slit"] // 2, int(attrs["raster"])
    step = raster["step"].values.astype(np.int64)
    columns: dict[str, Array] = {
        "time": raster["time"].values,
        "sample_id": _texts(f"{attrs['observation']}-r{number:05d}-s{one:04d}" for one in step),
        "raster": np.full(n, number, dtype=np.int64),
        "step": step,
        "exposure_time": raster["exposure_time"].values,
        "solar_x": raster["solar_x"].values[:, middle],
        "solar_y": raster["solar_y"].values[:, middle],
        **{word: _texts([str(attrs[word])] * n) for word in _WORDS},
        **_label_columns(labels, n),
        **_world_columns(raster, step),
    }
    units = {"exposure_time": "s", "solar_x": "arcsec", "solar_y": "arcsec"}
    return {
        name: ("sample", values, {"units": units[name]} if name in units else {})
        for name, values in columns.items()
    }


def _label_columns(labels: LabelTable | None, n: int) -> dict[str, Array]:
    if labels is None:
        words = {"label": "ambiguous", "label_source": "no flare list", "label_reason": "no list"}
        absent = dict.fromkeys(("flare_class", "flare_onset"), "")
        return {name: _texts([text] * n) for name, text in (words | absent).items()}
    return {
        "label": _texts(labels.label),
        "label_source": _texts([labels.label_source] * n),
        "label_reason": _texts(labels.reason),
        "flare_class": _texts(labels.flare_class),
        "flare_onset": _texts(labels.flare_onset),
    }


def _world_columns(raster: xr.Dataset, step: npt.NDArray[np.int64]) -> dict[str, Array]:
    """Return the `wcs_*` columns: the raster's own, each step the only pixel of its axis 1."""
    header = Header.fromstring(raster.attrs["wcs"], sep="\n")
    n = raster.sizes["step"]
    absent = {"PC1_1": 1.0, "PC2_2": 1.0, "PC1_2": 0.0, "PC2_1": 0.0}
    columns: dict[str, Array] = {
        f"wcs_{name}": np.full(n, float(header.get(name.upper(), absent.get(name.upper(), np.nan))))
        for name in WCS_NUMBERS
    }
    columns["wcs_crpix1"] = columns["wcs_crpix1"] - step
    for name in WCS_WORDS:
        columns[f"wcs_{name}"] = _texts([str(header.get(name.upper(), ""))] * n)
    return columns


def _tally(
    quality: npt.NDArray[np.uint8], seen: npt.NDArray[np.bool_], labels: LabelTable | None
) -> dict[str, int]:
    """Return the account of a raster: spectra by fate, exposures by label."""
    fates = spectra.tally(quality)
    kept = fates.pop("kept", 0)
    words = np.array(["ambiguous"] * len(seen)) if labels is None else np.asarray(labels.label)
    named = Counter(f"{word} exposures" for word in words[seen].tolist())
    return {
        "spectra": int(quality.size),
        "kept spectra": kept,
        **{f"dropped, {reason}": count for reason, count in fates.items() if count},
        "exposures": len(seen),
        "exposures without a spectrum": int((~seen).sum()),
        **named,
    }


def _texts(words: Any) -> npt.NDArray[np.object_]:
    return np.array([str(word) for word in words], dtype=object)
