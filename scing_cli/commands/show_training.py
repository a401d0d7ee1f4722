"""Show the result of a training stage: as JSON, and as a table of its figures."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import counted

if TYPE_CHECKING:
    from scing_cli.core.workflows.train.prompts_stage import PromptsReport
    from scing_cli.core.workflows.train.visual_stage import VisualReport


def training_payload(report: PromptsReport | VisualReport) -> dict[str, Any]:
    """Return what both stages report, ready for JSON."""
    fit = report.fit
    return {
        "run": str(report.run.path),
        "identities": report.identities,
        "images": report.images,
        "captions": report.captions,
        "trainable": dict(report.trainable),
        "first_epoch": dict(fit.first) if fit else {},
        "last_epoch": dict(fit.last) if fit else {},
        "steps": fit.steps if fit else 0,
        "seconds": round(fit.seconds, 1) if fit else 0.0,
        "left_out": [dataclasses.asdict(fault) for fault in report.left_out],
    }


def show_course(stage: str, report: PromptsReport | VisualReport, terminal: Terminal) -> None:
    """Print how many people, images and captions a stage was trained on, and its figures."""
    counts = [counted(report.identities, "identity", "identities"), counted(report.images, "image")]
    title = f"{stage}: {', '.join([*counts, *([counted(report.captions, 'caption')] if report.captions else [])])}"
    if report.fit is None:
        terminal.say(f"{title}; nothing to train.")
    else:
        terminal.course(title, report.fit)
