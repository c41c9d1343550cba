"""The report of a validation as one page of HTML that needs no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from solarxai.classifier import Classifier
from solarxai.page._parts import rendered
from solarxai.page.lines import lines_words
from solarxai.page.penumbra import penumbra_words
from solarxai.provenance import write_atomically
from solarxai.schema import PATCH, kind_of
from solarxai.validation.report import Report

__all__ = ["write_page"]

Progress = Callable[[int, int, str], None]

_TITLES = {
    "penumbra": "Does this model look at the penumbra?",
    "lines": "Which lines does this model read?",
}


def write_page(
    report: Report,
    samples: xr.Dataset,
    classifier: Classifier,
    path: Path,
    *,
    title: str | None = None,
    max_cards: int = 12,
    progress: Progress | None = None,
) -> None:
    """Write the report as HTML with its pictures inside, whole or not at all.

    Parameters
    ----------
    report
        Of a validation, of patches or of spectra.
    samples
        The samples it judged (more are ignored), with their maps.
    classifier
        The classifier it judged.
    path
        The file to write.
    title
        Heading of the page; None for one that fits the samples.
    max_cards
        Of patches: most synthetic structures shown with pictures, evenly spread over labels and
        time. Every real one is shown.
    progress
        Called with (done, total, what).

    Raises
    ------
    ValidationError
        when `samples` lacks a structure of the report.
    """
    if kind_of(samples) is PATCH:
        kind, words = "penumbra", penumbra_words(report, samples, classifier, max_cards, progress)
    else:
        kind, words = "lines", lines_words(report)
    words = {**words, "title": title or _TITLES[kind]}
    write_atomically(path, rendered(f"{kind}.html", words).encode())
