"""What other parts of the review tell in every report: when to stop, the second raters, the second opinion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from src_core.errors import ProjectDamagedError
from src_core.report.sections import Section
from src_core.review import advice, audit
from src_core.review.agreement import agreement
from src_core.review.second_sample import PURPOSE
from src_core.review.stopping import LEVEL, StopEstimator

if TYPE_CHECKING:
    from src_core.report.sections import Contributor, Value
    from src_core.store.project import Project
    from src_core.store.runs import Run

RATERS = (
    *("Second rater", "Regions compared", "Same answer", "Cohen's kappa", "from", "to", "Dice"),
    *("Unsure", "Decoys", "Answered wrongly", "Differ"),
)


def what_is_left(project: Project, run: Run | None) -> Section | None:
    """The estimate of wrong pixels among those that nobody vouches for; None without scores."""
    if run is None or not run.has_scores:
        return None
    title = "What is left"
    try:
        estimator = StopEstimator(project, run)
        now = estimator.now()
    except ProjectDamagedError as error:  # maps are missing, or are just being replaced
        return Section(key="what_is_left", title=title, text=f"Not estimated: {error}")
    audited = audit.current(project, estimator, LEVEL)
    words = [advice.sentence(now), advice.where(now), *([] if audited is None else [advice.of_audit(audited)])]
    return Section(
        key="what_is_left",
        title=title,
        text=" ".join(words),
        facts={
            "Regions decided": now.decided,
            "Regions that wait": now.waiting,
            "Really wrong among the last": f"{now.hits} of {now.last}",
            "Wrong pixels found since the scores": now.found,
        },
        columns=("Wrong pixels", "Median", f"{100 * LEVEL:.0f} % from", "to"),
        rows=[
            (name, round(part.value), round(part.low), round(part.high))
            for name, part in (
                ("in regions that wait", now.in_regions),
                ("doubted, outside of regions", now.doubted),
                ("trusted", now.trusted),
                ("in all", now.wrong),
            )
        ],
    )


def second_raters(project: Project, _run: Run | None) -> Section | None:
    """How far other people agree with the decisions, a row each sample; None when nobody was asked."""
    samples = project.samples.all(PURPOSE)
    if not samples:
        return None
    found = [agreement(project, sample) for sample in reversed(samples)]
    rows: list[tuple[Value, ...]] = [
        (
            *(row.author, row.compared, row.agreed, row.kappa, row.kappa_low, row.kappa_high, row.dice),
            *(row.unsure, row.decoys, row.fooled, len(row.disagreements)),
        )
        for row in found
    ]
    return Section(
        key="second_raters",
        title="Second raters",
        text="Regions that another person judged anew without knowing the first answer, with made-up ones among them "
        "(decoys). Nothing of it changed a mask. Same answer, kappa (95 % interval) and Dice are of the regions that "
        "both decided.",
        columns=RATERS,
        rows=[tuple(round(value, 3) if isinstance(value, float) else value for value in row) for row in rows],
    )


def second_opinion(_project: Project, run: Run | None) -> Section | None:
    """How far another score agrees with trust; None when it was not asked."""
    record = None if run is None else run.opinion_record()
    if record is None:
        return None
    found = record["agreement"]
    return Section(
        key="second_opinion",
        title="Second opinion",
        text=f"Another score of the same labels, by {record['source']}, beside the trust of run {record['run']}.",
        facts={
            "Regions": found["regions"],
            "Share of these that it holds for right": found["regions_disputed"],
            "Rank correlation of the regions by expected wrong pixels": found["spearman_queue"],
            "Rank correlation of the regions by mean": found["spearman_mean"],
            f"Common to the first {found['top']} of both": found["top_shared"],
            "Cohen's kappa of doubted pixels": found["kappa"],
            "Share of pixels doubted by trust": found["doubted_by_trust"],
            "Share of pixels doubted by it": found["doubted_by_cleanlab"],
        },
    )


SECTIONS: tuple[Contributor, ...] = (what_is_left, second_raters, second_opinion)
"""Whose sections every report has."""
