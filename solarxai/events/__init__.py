"""What happened on the Sun: flare lists, active regions, and the labels they give exposures."""

from solarxai.events.comparison import disagreements, merge
from solarxai.events.flares import FlareList
from solarxai.events.hek import from_hek, search_hek
from solarxai.events.labels import REASONS, LabelRule, LabelTable, label_exposures
from solarxai.events.regions import RegionTable, read_srs
from solarxai.events.swpc import read_swpc

__all__ = [
    "REASONS",
    "FlareList",
    "LabelRule",
    "LabelTable",
    "RegionTable",
    "disagreements",
    "from_hek",
    "label_exposures",
    "merge",
    "read_srs",
    "read_swpc",
    "search_hek",
]
