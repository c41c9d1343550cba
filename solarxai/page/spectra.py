"""The attention of a network on spectra as one page of HTML: lines, slit, features, exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from solarxai.attention.report import AttentionReport, MethodAttention
from solarxai.page._parts import image, number, rendered, with_interval
from solarxai.plotting.spectra import (
    attention_figure,
    feature_figure,
    slit_figure,
    spectrogram_figure,
    spectrum_figure,
)
from solarxai.provenance import write_atomically

__all__ = ["write_attention_page"]


def write_attention_page(
    report: AttentionReport,
    samples: xr.Dataset,
    movies: Mapping[str, xr.Dataset],
    path: Path,
    *,
    title: str = "What did the network see in the spectra?",
    max_cards: int = 6,
) -> None:
    """Write the attention of a run as HTML with its pictures inside, whole or not at all.

    Parameters
    ----------
    report
        Of `solarxai.attention.describe_attention`.
    samples
        The spectrograms with their maps, in memory.
    movies
        Slit-jaw images by observation.
    path
        The file to write.
    title
        Heading of the page.
    max_cards
        Most observations shown with pictures: those with the highest scores.
    """
    words = {
        "title": title,
        "subtitle": _subtitle(report, samples),
        "observations": [_observation_row(row) for row in report.observations],
        "methods": [
            _method(name, found, samples) for name, found in sorted(report.methods.items())
        ],
        "features": _features(report),
        "cards": [_card(row, report, samples, movies) for row in _shown(report, max_cards)],
        "source": ", ".join(sorted(set(samples["label_source"].values.astype(str).tolist()))),
        "runs": [str(run) for run in samples.attrs.get("runs", ())],
    }
    write_atomically(path, rendered("spectra.html", words).encode())


def _subtitle(report: AttentionReport, samples: xr.Dataset) -> str:
    origins = sorted(set(samples["origin"].values.astype(str).tolist()))
    regions = len(set(samples["region"].values.tolist()))
    spectra = int((samples["quality"].values == 0).sum())
    return (
        f"{spectra} spectra of {samples.sizes['sample']} exposures, {len(report.observations)} "
        f"{' and '.join(origins)} observations of {regions} regions. Maps by "
        f"{', '.join(sorted(report.methods))}."
    )


def _observation_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "score": number(row["score"]),
        "range": f"{number(row['lowest'])} … {number(row['highest'])}",
        "called_preflare": f"{100 * row['called_preflare']:.0f} %",
        "answer": "preflare" if row["score"] > 0 else "active",
        "mark": _mark(row),
    }


def _mark(row: Mapping[str, Any]) -> str:
    if row["label"] not in ("active", "preflare"):
        return "informs"
    return "holds" if (row["score"] > 0) == (row["label"] == "preflare") else "fails"


def _method(name: str, found: MethodAttention, samples: xr.Dataset) -> dict[str, Any]:
    profile = np.nanmean(samples["image"].values, axis=(0, 1))
    return {
        "name": name,
        "lines": _lines(found.by_line),
        "groups": int(found.by_line.attrs["groups"]),
        "slit": str(found.slit),
        "unanswered": sorted(set(found.slit.unanswered.values())),
        "spread": _spread(found),
        "by_wavelength": image(
            attention_figure(found.by_wavelength, spectrum=profile),
            f"Mean attribution of {name} at each wavelength, signed above and absolute below, with "
            "95 % intervals over regions; the mean spectrum in grey.",
        ),
        "by_velocity": [
            image(attention_figure(one), f"Attribution of {name} around {line}, in km/s.")
            for line, one in found.by_velocity.items()
        ],
    }


def _lines(found: xr.Dataset) -> list[dict[str, str]]:
    def cell(name: str, place: int) -> str:
        bounds = [float(found[f"{name}_{end}"].values[place]) for end in ("low", "high")]
        return with_interval(float(found[name].values[place]), *bounds)

    return [
        {
            "line": str(line),
            "share": cell("share", place),
            "pixels": number(float(found["pixels"].values[place])),
            "enrichment": cell("enrichment", place),
        }
        for place, line in enumerate(found["line"].values)
    ]


def _spread(found: MethodAttention) -> str:
    if found.spread is None:
        return ""
    relative = float(np.nanmedian(found.spread["relative_spread"].values))
    agreement = float(np.nanmedian(found.spread["sign_agreement"].values))
    return (
        f"Over the networks of the ensemble the maps spread by {number(relative)} of their size "
        f"(median over wavelengths), and a network has the sign of the mean with probability "
        f"{number(agreement)}."
    )


def _features(report: AttentionReport) -> dict[str, Any] | None:
    if report.features is None:
        return None
    strongest = str(report.features["feature"].values[0]).replace("_", " ")
    return image(
        feature_figure(report.features),
        f"Rank correlation of line features with the score of a spectrum; strongest: {strongest}.",
    )


def _shown(report: AttentionReport, most: int) -> Sequence[Mapping[str, Any]]:
    real = [row for row in report.observations if row["origin"] == "real"]
    rest = [row for row in report.observations if row["origin"] != "real"]
    rest.sort(key=lambda row: -row["score"])
    return [*real, *rest][:most]


def _card(
    row: Mapping[str, Any],
    report: AttentionReport,
    samples: xr.Dataset,
    movies: Mapping[str, xr.Dataset],
) -> dict[str, Any]:
    names = sorted(report.methods)
    mine = samples.isel(sample=np.flatnonzero(samples["observation"].values == row["observation"]))
    best = int(np.argmax(mine["score"].values))
    shown = [
        image(
            spectrogram_figure(mine, best, names),
            f"The exposure of {row['observation']} with the highest score, and its maps.",
        )
    ]
    if "spectrum_score" in mine:
        slit = int(np.nanargmax(mine["spectrum_score"].values[best]))
        shown += [
            image(
                spectrum_figure(mine, best, name, slit=slit),
                f"Its spectrum with the highest score (slit position {slit}) by {name}.",
            )
            for name in names
        ]
    movie = movies.get(str(row["observation"]))
    if movie is not None:
        one_step = mine.isel(
            sample=np.flatnonzero(mine["step"].values == mine["step"].values[best])
        )
        shown.append(
            image(
                slit_figure(one_step, movie, names[0]),
                f"Attention along the slit over time by {names[0]}, and slit-jaw emission.",
            )
        )
    return {"title": f"{row['region']}, {row['begins']}", **_observation_row(row), "images": shown}
