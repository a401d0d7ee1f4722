"""How well rankings find the right people: protocol (which rows count), ranking, measures (CMC, mAP, mINP)."""

from scing_cli.core.evaluation.metrics import average_precision, cmc_curve, inverse_negative_penalty
from scing_cli.core.evaluation.protocol import PROTOCOLS, Choice, choose_protocol
from scing_cli.core.evaluation.ranking import evaluate
from scing_cli.core.evaluation.saved import SavedPart, UnitRows, read_saved
from scing_cli.core.evaluation.scores import PerQuery, Scores
from scing_cli.core.evaluation.truth import REASONS, Lost

__all__ = [
    "PROTOCOLS",
    "REASONS",
    "Choice",
    "Lost",
    "PerQuery",
    "SavedPart",
    "Scores",
    "UnitRows",
    "average_precision",
    "choose_protocol",
    "cmc_curve",
    "evaluate",
    "inverse_negative_penalty",
    "read_saved",
]
