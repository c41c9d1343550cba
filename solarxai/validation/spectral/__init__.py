"""Networks on spectra: which lines they need, and what must not sway them."""
