"""Reports as pages of HTML that need no network, one kind of report a module."""

from solarxai.page.report import write_page
from solarxai.page.spectra import write_attention_page

__all__ = ["write_attention_page", "write_page"]
