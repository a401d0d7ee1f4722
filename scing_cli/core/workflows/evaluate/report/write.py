"""Write findings to a folder. All files are complete before the first is renamed; `report.json` is written last."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli import __version__
from scing_cli.core.artifacts import FORMAT, REPORT_KIND, Run, csv_text, json_text, read_json, replacing, write_json
from scing_cli.core.errors import RunError, ScingError, SettingError
from scing_cli.core.evaluation import Side
from scing_cli.core.evaluation.products import Products
from scing_cli.core.figures.report.page import Page, render_page
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.evaluate.ranked import EvaluationReport
from scing_cli.core.workflows.evaluate.report import sections
from scing_cli.core.workflows.evaluate.report.findings import Findings, Subject, gather
from scing_cli.core.workflows.evaluate.report.ranking_pictures import RankingPicture, draw_rankings

FILES = ("report.html", "queries.csv", "report.json")


def check_folder(folder: Path) -> None:
    """Refuse, before any work, a folder that holds anything but a report of ours, or that cannot be made or written.

    Raises:
        SettingError: If there is a file or another folder in the way; the message names it.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    what = f"--output {folder}" + ("" if there == folder else f": {there}")
    if not there.is_dir():
        fault = "is a file" if there.exists() else "is a link that leads nowhere"
        raise SettingError(f"{what} {fault}.", "Name a folder for the report.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SettingError(f"{what} cannot be written.", "Name another folder.")
    if there == folder and not _is_ours(folder):
        raise SettingError(f"{what} holds other files.", "Name a new folder for the report.")


def _is_ours(folder: Path) -> bool:
    names = {
        entry.name for entry in folder.iterdir() if entry.suffix != ".part"
    }  # such are of a writer that was killed
    if "run.json" in names:
        return False  # a run: the report.json in it is a copy
    if "report.json" not in names:
        return names <= {*FILES, sections.LEFT_OUT}  # none yet, or one that was not finished
    try:
        return read_json(folder / "report.json").get("kind") == REPORT_KIND
    except RunError:
        return False


def write_report(
    folder: Path,
    report: EvaluationReport,
    sides: tuple[Side, Side],
    subject: Subject,
    *,
    products: Products | None = None,
    workers: int = 1,
    reporter: Reporter,
) -> EvaluationReport:
    """Write the report of an evaluation; a run keeps what it says of thresholds of people it was not trained on.

    Args:
        folder: Made where missing; an earlier report in it is replaced.
        report: The evaluation.
        sides: Its queries and its gallery.
        subject: What was evaluated.
        products: What multiplies; numpy on the CPU if None.
        workers: Threads that read pictures.
        reporter: Where progress goes.

    Returns:
        The evaluation, with the folder named in it.

    Raises:
        ScingError: If the folder cannot be written.
    """
    findings = gather(report, sides, subject, products=products, reporter=reporter)
    page = _page(findings, draw_rankings(findings, workers, reporter))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"--output {folder} cannot be made: {error.strerror}.", "Name another folder.") from error
    content = _content(findings)
    lists = {sections.LEFT_OUT: _left_out(report)} if report.left_out else {}
    _write(folder, {"report.json": json_text(content), "report.html": page, "queries.csv": _queries(findings), **lists})
    if not lists:
        (folder / sections.LEFT_OUT).unlink(missing_ok=True)  # of a former report
    if report.direction == "image-to-text":
        reporter.note(
            "No search uses the thresholds of this report, which are of images among captions: those for a search by "
            "words are in a report without --direction."
        )
    elif subject.run is not None and report.direction:
        reporter.note("The run keeps no thresholds of words: name this report with --report.")
    elif subject.run is not None:
        _keep(subject.run, subject.split, content, reporter)
    return dataclasses.replace(report, output=folder)


def _keep(run: Run, split: str, content: Mapping[str, Any], reporter: Reporter) -> None:
    """Leave the report in the run, for its searches; not one of a split to train on, whose people it may know."""
    if split == "train" or (split == "val" and run.info["data"].get("include_val")):
        reporter.note(f"The run keeps no thresholds of the split {split}: name this report with --report.")
        return
    try:
        write_json(run.report, {name: value for name, value in content.items() if name != "cameras"})
    except (ScingError, OSError) as error:
        reporter.warn(f"The run could not keep the report's thresholds: {str(error).splitlines()[0]}")


def _content(findings: Findings) -> Mapping[str, Any]:
    return {
        "kind": REPORT_KIND,
        "format": FORMAT,
        "version": __version__,
        "written": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        **findings.subject.summary(),
        **findings.report.summary(list_lost=True),
        "cmc": findings.report.scores.cmc.tolist(),
        "verification": findings.verification.summary(),
        "roc": findings.verification.curve.summary(),
        "cameras": [pair.summary() for pair in findings.cameras if pair.valid_queries],
    }


def _queries(findings: Findings) -> str:
    lines = list(findings.lines())
    return csv_text([list(lines[0]), *(list(line.values()) for line in lines)])


def _left_out(report: EvaluationReport) -> str:
    rows = [(split, fault.path, fault.reason) for split, faults in report.left_out.items() for fault in faults]
    return csv_text([("split", "path", "reason"), *rows])


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write all files, then rename them, the first one last: a full disk leaves the former report as it was."""
    with contextlib.ExitStack() as together:
        for name, text in texts.items():
            temporary = together.enter_context(replacing(folder / name))
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")


def _page(findings: Findings, montages: Mapping[str, RankingPicture]) -> str:
    report, scores, run = findings.report, findings.report.scores, findings.subject.run
    figures = {
        "mAP": f"{scores.mAP:.2f}",
        "rank-1": f"{scores.rank1:.2f}",
        "mINP": f"{scores.mINP:.2f}",
        "valid queries": f"{scores.valid_queries:,}",
        "gallery rows": f"{report.gallery:,}",
    }
    parts = (
        sections.pictures("Worst queries", montages, ["worst"], report.gallery_of()),
        sections.ranking(findings),
        sections.thresholds(findings),
        sections.pictures("Median and best queries", montages, ["median", "best"], report.gallery_of()),
        sections.cameras(findings),
        sections.training(run),
        sections.settings(findings),
    )
    protocol = f"{report.protocol.name}, {report.direction}" if report.direction else report.protocol.name
    subtitle = f"{report.model}, protocol {protocol}, scing {__version__}"
    files = (*FILES[1:], *((sections.LEFT_OUT,) if report.left_out else ()))
    cautions = sections.attention(findings)
    return render_page(Page(f"{report.title()}: evaluation", subtitle, figures, parts, files, cautions))
