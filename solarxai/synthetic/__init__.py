"""A Sun with known truth: HMI continuum images of sunspots and pores, written as HMI writes them.

`write_hmi` writes a folder of FITS files and its catalog; `write_scene` writes one of them.
Parameters are drawn in `scenes` (with `structures` and `matching`), painted and seen through the
telescope in `continuum` and `image`, and written by `hmi` and `archive`.
"""

from solarxai.synthetic.archive import write_catalog, write_hmi, write_scene
from solarxai.synthetic.image import render
from solarxai.synthetic.scenes import draw_scene

__all__ = ["draw_scene", "render", "write_catalog", "write_hmi", "write_scene"]
