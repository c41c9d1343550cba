"""Ask a store for rows by time, place, label, score, method: xarray out, and back to the Sun."""

from solarxai.query.saliency_store import (
    SaliencyStore,
    TimeLike,
    open_store,
)

__all__ = ["SaliencyStore", "TimeLike", "open_store"]
