"""The options of the optimisation, checked, and what an epoch came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from solarxai.errors import TrainingError
from solarxai.training.augmentation import Augmentation, SpectralAugmentation

__all__ = ["Epoch", "Recipe"]

_SCHEDULES = ("one_cycle", "constant")


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the training set came to; losses are class-balanced, in nats.

    `member` counts the networks of an ensemble from 0.
    """

    number: int
    learning_rate: float
    loss: float
    validation_loss: float
    validation_accuracy: float
    validation_tss: float
    member: int = 0

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.3f}, validation loss {self.validation_loss:.3f}, "
            f"TSS {self.validation_tss:.3f}"
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The options of the optimisation, checked."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    attribution_prior: float
    patience: int
    seed: int
    threads: int
    augment: Augmentation | SpectralAugmentation
    schedule: str = "one_cycle"
    samples_an_epoch: int | None = None
    validation_samples: int | None = None
    window: int | None = None
    processes: int = 1
    device: str = "cpu"

    def record(self) -> dict[str, Any]:
        """Return the options; those with a default here are left out where they have it."""
        usual = {f.name: f.default for f in fields(self) if f.name in _LATER}
        return {k: v for k, v in asdict(self).items() if k not in usual or v != usual[k]}

    def __post_init__(self) -> None:
        whole = min(self.epochs, self.patience, self.threads) >= 1 and self.batch_size >= 2
        real = self.learning_rate > 0 and 0 <= self.label_smoothing < 1
        real = real and min(self.weight_decay, self.attribution_prior) >= 0
        if not (whole and real):
            raise TrainingError(
                f"epochs {self.epochs}, patience {self.patience}, batch_size {self.batch_size}, "
                f"threads {self.threads}, learning_rate {self.learning_rate}, weight_decay "
                f"{self.weight_decay}, label_smoothing {self.label_smoothing} or attribution_prior "
                f"{self.attribution_prior} is out of range",
                remedy="epochs, patience and threads >= 1, batch_size >= 2, learning_rate > 0, "
                "weight_decay and attribution_prior >= 0, 0 <= label_smoothing < 1.",
            )
        limits = [n for n in (self.samples_an_epoch, self.validation_samples) if n is not None]
        if self.schedule not in _SCHEDULES or min(limits, default=2) < 2:
            raise TrainingError(
                f"schedule {self.schedule!r}, samples_an_epoch {self.samples_an_epoch} or "
                f"validation_samples {self.validation_samples} is out of range",
                remedy=f"schedule is {' or '.join(_SCHEDULES)}; the others are 2 or more, or none.",
            )
        self._check_processes()

    def _check_processes(self) -> None:
        """Refuse what cannot be shared among processes."""
        if not 1 <= self.processes <= self.batch_size // 2:
            raise TrainingError(
                f"processes {self.processes} with batch_size {self.batch_size} is out of range",
                remedy="Give 1 to batch_size / 2 processes.",
            )
        if self.processes > 1 and self.attribution_prior:
            raise TrainingError(
                f"attribution_prior {self.attribution_prior} cannot be shared among "
                f"{self.processes} processes: the images of a batch are each other's baselines",
                remedy="Give processes: 1, or no attribution_prior.",
            )


_LATER = (
    "schedule", "samples_an_epoch", "validation_samples", "window", "processes", "device",
)  # fmt: skip
