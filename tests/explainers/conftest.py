"""How a map is compared with an oracle's."""

import json
from collections.abc import Callable

import pytest
from torch import Tensor

Agrees = Callable[..., None]


@pytest.fixture
def agrees(record_property: Callable[[str, object], None]) -> Agrees:
    """Return a check that a map is the oracle's; `benchmarks/methods.py` collects what it finds.

    `agrees(method, oracle, found, wanted)` takes the largest difference relative to the largest
    value of the oracle; with `stderr`, at least a `share` of the values must lie within three of
    them; with `overlap`, two masks must share more than that part of their union.
    """

    def check(
        method: str,
        oracle: str,
        found: Tensor,
        wanted: Tensor,
        *,
        tolerance: float = 1e-4,
        stderr: Tensor | None = None,
        share: float = 0.97,
        overlap: float | None = None,
    ) -> None:
        assert found.shape == wanted.shape
        if overlap is not None:
            off = 1 - float((found & wanted).sum() / (found | wanted).sum())
            difference, sound = f"overlap {1 - off:.2f}", off < 1 - overlap
        elif stderr is not None:
            off = 1 - float(((found - wanted).abs() <= 3 * stderr).float().mean())
            difference, sound = f"{1 - off:.1%} within 3 standard errors", off <= 1 - share
        else:
            off = float((found - wanted).abs().max() / wanted.abs().max())
            difference, sound = f"{off:.0e}", off <= tolerance
        told = {"method": method, "oracle": oracle, "difference": difference, "off": off}
        record_property("oracle", json.dumps(told))
        assert sound, told

    return check
