"""estimate, audit: how much is left to do."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from src_core.errors import InputError
from src_core.review import advice, audit
from src_core.review.stopping import LEVEL, StopEstimator
from src_core.store.project import Project

if TYPE_CHECKING:
    import argparse

    from src_core.review.audit import AuditResult
    from src_core.review.stopping import Estimate

PARTS = ("wrong", "in_regions", "doubted", "trusted")
COLUMNS = (
    *("decided", "waiting", "found", "hits", "last", "checked", "foreground"),
    *(f"{part}{end}" for part in PARTS for end in ("", "_low", "_high")),
)


def estimate_command(arguments: argparse.Namespace) -> int:
    """Print what is left, in words or with the curve."""
    rule = advice.StopRule(share=arguments.limit / 100, hit_rate=arguments.hit_limit / 100, last=arguments.last)
    with Project.open(arguments.project) as project:
        run = project.run(arguments.run_name)
        estimator = StopEstimator(project, run, rule.last)
        curve = [estimator.now()] if arguments.format == "text" else estimator.curve()
        audited = audit.current(project, estimator, LEVEL)
    if arguments.format == "csv":
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(point) for point in curve)
    elif arguments.format == "json":
        found = advice.verdict(rule, curve[-1])
        print(
            json.dumps(
                {
                    "run": run.name,
                    "level": LEVEL,
                    "sentence": advice.sentence(curve[-1]),
                    "stop": found.stop,
                    "verdict": found.words,
                    "audit": asdict(audited) if audited else None,
                    "curve": [_row(point) for point in curve],
                },
                indent=2,
            )
        )
    else:
        _print_words(rule, curve[-1], audited)
    return 0


def _print_words(rule: advice.StopRule, now: Estimate, audited: AuditResult | None) -> None:
    print(advice.sentence(now))
    print(advice.where(now))
    print(advice.basis(now))
    if audited is not None:
        print(advice.of_audit(audited))
    print(advice.verdict(rule, now).words)


def _row(point: Estimate) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(point, name) for name in COLUMNS[:7]}
    for part in PARTS:
        amount = getattr(point, part)
        for end, value in (("", amount.value), ("_low", amount.low), ("_high", amount.high)):
            row[f"{part}{end}"] = round(value, 1)
    return row


def audit_command(arguments: argparse.Namespace) -> int:
    """Draw an audit, or take up the last one, and print the regions that are to be decided."""
    if arguments.seed < 0:
        raise InputError(f"--seed is {arguments.seed}, expected 0 or more.")
    with Project.open(arguments.project, write=True, author=arguments.author) as project:
        estimator = StopEstimator(project, project.run(arguments.run_name))
        found = audit.current(project, estimator, LEVEL)
        if found is None or not found.waiting or arguments.anew:
            audit.draw(project, estimator, draws=arguments.draws, seed=arguments.seed)
            found = audit.current(project, estimator, LEVEL)
        else:
            print("The last audit is not finished; these regions of it are left.", file=sys.stderr)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["region"])
    writer.writerows([region] for region in (found.waiting if found else ()))
    return 0
