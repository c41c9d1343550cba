"""The engine: passes made fast, and the geometry of what a network sees."""
