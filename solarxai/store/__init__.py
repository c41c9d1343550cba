"""Maps on disk: immutable, time-sorted segments of plain Zarr with a ledger."""

from solarxai.store.archive import (
    FORMAT_VERSION,
    Store,
    create_store,
)

__all__ = ["FORMAT_VERSION", "Store", "create_store"]
