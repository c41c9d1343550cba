"""Saliency maps for solar-physics networks: with coordinates, error bars, and a verdict."""
