"""Explanations for tables of features and any predictor: numbers in, numbers out, no network."""
