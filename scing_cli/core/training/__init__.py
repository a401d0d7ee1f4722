"""One loop for every stage and method; the learning rate; the optimiser."""

from scing_cli.core.training.loop import Fit, Trainer, gradient_norms
from scing_cli.core.training.schedule import LearningRate

__all__ = ["Fit", "LearningRate", "Trainer", "gradient_norms"]
