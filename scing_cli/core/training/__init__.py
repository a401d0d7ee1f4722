"""Training loop of all stages and methods, learning rate, metrics log, and saved steps to resume from."""

from scing_cli.core.settings.schedule_settings import MINUTES
from scing_cli.core.training.fit import Fit
from scing_cli.core.training.gradients import gradient_norms
from scing_cli.core.training.interruption import Interruption
from scing_cli.core.training.loop import Trainer
from scing_cli.core.training.metrics_file import MetricsLog
from scing_cli.core.training.optimiser import AdamGroups
from scing_cli.core.training.schedule import LearningRate
from scing_cli.core.training.state import Checkpoints, Progress

__all__ = [
    "MINUTES",
    "AdamGroups",
    "Checkpoints",
    "Fit",
    "Interruption",
    "LearningRate",
    "MetricsLog",
    "Progress",
    "Trainer",
    "gradient_norms",
]
