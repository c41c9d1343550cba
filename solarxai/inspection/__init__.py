"""Ways to look at a network that give no map of an input: curves, images and tables."""
