"""Whether the score goes with what a map marks."""
