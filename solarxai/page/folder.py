"""The report of a validation as a folder: a page to read, and files for machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import xarray as xr

from solarxai.classifier import Classifier
from solarxai.page import write_page
from solarxai.provenance import write_atomically
from solarxai.validation.junit import to_junit
from solarxai.validation.report import Report

__all__ = ["write_report"]


def write_report(
    report: Report,
    samples: xr.Dataset,
    classifier: Classifier,
    folder: Path,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[Path, Path, Path]:
    """Write `index.html`, `report.json` and `report.junit.xml`; return their paths.

    Parameters
    ----------
    report
        Of a validation.
    samples
        The samples it judged, with their maps.
    classifier
        The classifier it judged.
    folder
        Made if absent.
    progress
        Called with (done, total, what).

    Raises
    ------
    ValidationError
        when `samples` lacks something the report judged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page, record, junit = (folder / n for n in ("index.html", "report.json", "report.junit.xml"))
    write_atomically(record, report.to_json().encode())
    write_atomically(junit, to_junit(report).encode())
    write_page(report, samples, classifier, page, progress=progress)
    return page, record, junit
