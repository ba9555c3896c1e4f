"""import-scores, second-opinion: what others say of the labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from src_core.commands.progress import bar
from src_core.infer.imported import import_scores
from src_core.infer.second_opinion import second_opinion

if TYPE_CHECKING:
    import argparse


def import_command(arguments: argparse.Namespace) -> int:
    """Import scores and say what came of it."""
    with bar() as progress:
        task = progress.add_task("importing", total=None, note="")
        imported = import_scores(
            arguments.project,
            probabilities=arguments.probabilities,
            trust=arguments.trust,
            uncertainty=arguments.uncertainty,
            proposed=arguments.proposed,
            run=arguments.run_name,
            allow_missing=arguments.allow_missing,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(imported.words())
    return 0


def opinion_command(arguments: argparse.Namespace) -> int:
    """Ask for a second opinion and say how far it agrees."""
    with bar() as progress:
        task = progress.add_task("asking cleanlab", total=None, note="")
        record = second_opinion(
            arguments.project,
            arguments.run_name,
            device=arguments.device,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(json.dumps(record, indent=2) if arguments.format == "json" else _words(record))
    return 0


def _words(record: dict[str, Any]) -> str:
    found = record["agreement"]
    if record["out_of_fold"] is None:
        note = "It is the probability that was imported; where trust is the same number, agreement says nothing."
    else:
        note = "The model has seen these images, so the second opinion leans towards the given labels."
    doubt = _percent(found["doubted_by_trust"]), _percent(found["doubted_by_cleanlab"])
    return "\n".join(
        [
            f"Second opinion by {record['source']} on run {record['run']}, scores of generation "
            f"{record['generation']}. {note}",
            f"Order of the {found['regions']} regions, by wrong pixels to expect: rank correlation "
            f"{_figure(found['spearman_queue'])} (Spearman); of the first {found['top']}, {found['top_shared']} are "
            "the same.",
            f"Mean trust against mean quality in a region, whatever its size: {_figure(found['spearman_mean'])}.",
            f"Regions that trust doubts and cleanlab holds for right: {_percent(found['regions_disputed'])}.",
            f"Doubted pixels (below {record['doubted_below']:g}) of {found['pixels']:,} that nobody has looked at: "
            f"{doubt[0]} by trust, {doubt[1]} by cleanlab, Cohen's kappa {_figure(found['kappa'])}.",
        ]
    )


def _figure(value: float | None) -> str:
    return "not to be told" if value is None else f"{value:.2f}"


def _percent(share: float | None) -> str:
    return "none to tell" if share is None else f"{100 * share:.1f} %"
