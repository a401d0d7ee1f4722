"""How well scores separate people: protocol (which rows are ranked), ranking, re-ranking, measures, thresholds."""

from scing_cli.core.evaluation.camera_pairs import CameraPair, compare_cameras
from scing_cli.core.evaluation.metrics import average_precision, cmc_curve, inverse_negative_penalty
from scing_cli.core.evaluation.protocol import PROTOCOLS, SCENE, TEXT, Choice, choose_protocol
from scing_cli.core.evaluation.ranking import evaluate
from scing_cli.core.evaluation.rates import Verification
from scing_cli.core.evaluation.reranking import Reranking, reranked_distances
from scing_cli.core.evaluation.saved_embeddings import SavedPart, UnitRows, read_saved
from scing_cli.core.evaluation.scores import PerQuery, Scores
from scing_cli.core.evaluation.side import Labels, Side
from scing_cli.core.evaluation.truth import REASONS, Lost, own_rows, protocol_of, reason_of
from scing_cli.core.evaluation.verification import verify

__all__ = [
    "PROTOCOLS",
    "REASONS",
    "SCENE",
    "TEXT",
    "CameraPair",
    "Choice",
    "Labels",
    "Lost",
    "PerQuery",
    "Reranking",
    "SavedPart",
    "Scores",
    "Side",
    "UnitRows",
    "Verification",
    "average_precision",
    "choose_protocol",
    "cmc_curve",
    "compare_cameras",
    "evaluate",
    "inverse_negative_penalty",
    "own_rows",
    "protocol_of",
    "read_saved",
    "reason_of",
    "reranked_distances",
    "verify",
]
