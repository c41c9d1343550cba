"""Samples with a split in, a classifier with its scores and the shortcuts it had to beat out."""

from solarxai.training.fit import (
    Augmentation,
    Epoch,
    Evaluation,
    Levels,
    SpectralAugmentation,
    Training,
    train,
)

__all__ = [
    "Augmentation",
    "Epoch",
    "Evaluation",
    "Levels",
    "SpectralAugmentation",
    "Training",
    "train",
]
