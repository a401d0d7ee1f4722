"""Which score is a match: the user's, or one from the report of the model that made the index.

Modules of the evaluation are imported where they are used: most searches do not need them.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import REPORT_KIND, Run, read_json
from scing_cli.core.errors import RunError, SettingError, counted, spelled
from scing_cli.core.index import GalleryLocation, Hit, Stamp
from scing_cli.core.paths import paths_in_place
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.model import OpenedModel


@dataclasses.dataclass(frozen=True)
class MatchRule:
    """The user's request: a threshold or a false-match rate, not both.

    Args:
        threshold: The lowest cosine of a match.
        false_match_rate: The share of different people's pairs that may match, in (0, 1).
        report: A report's folder or its report.json; None for the last one of the run.
    """

    threshold: float | None = None
    false_match_rate: float | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        paths_in_place(self, "report")
        if self.threshold is not None and self.false_match_rate is not None:
            raise SettingError("--threshold and --false-match-rate were both given.", "Leave one of them out.")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise SettingError(f"--threshold {self.threshold:g}: a score is a cosine, between -1 and 1.")
        if self.false_match_rate is not None and not 0 < self.false_match_rate < 1:
            raise SettingError(f"--false-match-rate {self.false_match_rate:g}: must be between 0 and 1, such as 1e-3.")
        if self.report is not None and self.false_match_rate is None:
            raise SettingError("--report has no effect without --false-match-rate.", "Add it, or leave --report out.")


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The lowest cosine of a match, and its source.

    Args:
        score: A hit that scores as much or more is a match.
        false_match_rate: The rate it was measured for; None if the user named the score.
        source: The data that the rate was measured on; empty if the user named the score.
    """

    score: float
    false_match_rate: float | None = None
    source: str = ""

    def summary(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return dataclasses.asdict(self)


def find_threshold(
    wanted: MatchRule, model: OpenedModel, stamp: Stamp, index: GalleryLocation, *, words: bool = False
) -> Threshold | None:
    """Return the requested threshold; None if there is none.

    Args:
        wanted: The user's request.
        model: The model of the search.
        stamp: The index's.
        index: Where it lies, for messages.
        words: Whether the queries are words; their scores are lower than those of photos.

    Raises:
        SettingError: If there is no report of the model that made the index, or it does not measure the rate, or it
            measured photos where words are searched, or words where photos are.
        RunError: If a report that was named cannot be read.
    """
    if wanted.false_match_rate is None:
        return None if wanted.threshold is None else Threshold(wanted.threshold)
    remedy = _remedy(model, stamp, words=words)
    file, content = _report(wanted, model.run, index, remedy, words=words)
    _check_model(content, file, stamp, index, remedy)
    _check_queries(content, file, remedy, words=words)
    try:
        score = _score(content, wanted.false_match_rate)
        part = "" if content["split"] == "query" else f" ({content['split']})"
        rows = f"{content['gallery']:,} rows" + (f" of {content['index']}" if content["index"] else "")
        source = f"{content['data']}{part}, {content['queries']:,} queries in {rows}"
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise SettingError(f"{file} is not a whole report ({type(error).__name__}).", remedy) from error
    return Threshold(score, wanted.false_match_rate, source)


def _report(
    wanted: MatchRule, run: Run | None, index: GalleryLocation, remedy: str, *, words: bool
) -> tuple[Path, Mapping[str, Any]]:
    if wanted.report is not None:
        file = wanted.report / "report.json" if wanted.report.is_dir() else wanted.report
    elif run is not None and run.report.is_file():
        file = run.report
    else:
        kind = " with words" if words else ""
        raise SettingError(f"--false-match-rate: there is no report{kind} of the model that made {index}.", remedy)
    content = read_json(file, remedy=remedy)
    if content.get("kind") != REPORT_KIND:
        raise RunError(f"{file} is not a report of an evaluation.", remedy)
    return file, content


def _remedy(model: OpenedModel, stamp: Stamp, *, words: bool) -> str:
    named = f"--run {shlex.quote(str(model.run.path))}" if model.run is not None else stamp.made_by()
    kind = "" if stamp.descriptor == "projected" else f" --descriptor {stamp.descriptor}"
    kind += " --queries text" if words else ""
    then = "then search again" + (" with --report report" if words or model.run is None else "")
    return f"Make one: scing evaluate {named}{kind} --data DIR --output report\n{then}; or name a score: --threshold."


def _check_model(content: Mapping[str, Any], file: Path, stamp: Stamp, index: GalleryLocation, remedy: str) -> None:
    if content.get("model_digest") != stamp.model_digest:
        raise SettingError(f"{file} is the report of another model than the one that made {index}.", remedy)
    kind = content.get("descriptor")
    if kind != stamp.descriptor:
        raise SettingError(f"{file} is of the descriptor {spelled(kind)}; {index} holds {stamp.descriptor}.", remedy)


def _check_queries(content: Mapping[str, Any], file: Path, remedy: str, *, words: bool) -> None:
    """Refuse a report of photos for words and one of words for photos: words score lower than photos."""
    measured = content.get("direction", "")
    if words and measured != "text-to-image":
        what = "photos among captions" if measured else "photos; scores of words are lower"
        raise SettingError(f"{file} was measured with {what}.", remedy)
    if measured and not words:
        raise SettingError(f"{file} was measured with words; scores of photos are higher.", remedy)


def _score(content: Mapping[str, Any], rate: float) -> float:
    """Return the lowest score that keeps the rate: exactly, or at the points of the ROC curve."""
    from scing_cli.core.evaluation.verification import FEWEST_MATCHES

    verification, curve = content["verification"], content["roc"]
    for point in verification["points"]:
        if math.isclose(point["rate"], rate, rel_tol=1e-9) and point["threshold"] is not None:
            return _cosine(point["threshold"])
    pairs = verification["different_pairs"]
    lowest = FEWEST_MATCHES / max(pairs, 1)
    if rate < lowest:
        least = _rounded_up(lowest)
        more = "evaluate on more data; or name a score: --threshold."
        raise SettingError(
            f"--false-match-rate {rate:g} cannot be measured with {counted(pairs, 'pair')} of different people "
            f"({spelled(content['data'])}).",
            f"Ask for {least:g} or more, or {more}" if least < 1 else more.capitalize(),
        )
    kept = [score for score, own in zip(curve["thresholds"], curve["false_match"], strict=True) if own <= rate]
    return _cosine(min(kept))


def _cosine(value: Any) -> float:
    """Return a score, which may lie just above 1.

    Raises:
        ValueError: If it is not a cosine.
    """
    score = float(value)
    if not -1 <= score <= 1 + 1e-6:
        raise ValueError(f"{score} is not a cosine")
    return score


def _about(number: float) -> str:
    """Return a number with two significant digits.

    >>> _about(0.361), _about(1591.3)
    ('0.36', '1,600')
    """
    return f"{number:.2g}" if number < 10 else f"{float(f'{number:.2g}'):,.0f}"


def _rounded_up(rate: float) -> float:
    """Round up to one significant digit.

    >>> _rounded_up(1.2e-5)
    2e-05
    """
    unit: float = 10.0 ** math.floor(math.log10(rate))
    return float(f"{math.ceil(rate / unit) * unit:.1g}")


def split(hits: Sequence[Hit], threshold: Threshold | None) -> tuple[list[Hit], float | None]:
    """Return the hits that are matches, and the best score among the others; None where there is no other."""
    if threshold is None:
        return list(hits), None
    kept = [hit for hit in hits if hit.score >= threshold.score]
    return kept, max((hit.score for hit in hits if hit.score < threshold.score), default=None)


def say_threshold(threshold: Threshold, rows: int, *, differs: str, reporter: Reporter) -> None:
    """Print which score is a match and what its rate means for so many rows; warn if it was measured otherwise."""
    from scing_cli.core.evaluation.rates import four_digits

    if threshold.false_match_rate is None:
        reporter.note(f"A match scores {four_digits(threshold.score)} or more.")
        return
    rate, score = threshold.false_match_rate, four_digits(threshold.score)
    reporter.note(
        f"A match scores {score} or more: false-match rate {rate:g}, measured on {threshold.source}. "
        f"Of {counted(rows, 'row')} about {_about(rate * rows)} would match a stranger."
    )
    if differs:
        reporter.warn(differs)
