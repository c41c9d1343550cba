"""Perturbations too faint to see that change a call, or that keep it and move the explanation."""
