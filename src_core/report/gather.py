"""Gathers the figures of a report from an open project, one image at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from src_core import __version__
from src_core.data.case import IGNORE, KINDS, OKABE_ITO, Verified
from src_core.report.contributors import SECTIONS
from src_core.report.figures import (
    ClassFigures,
    Conversion,
    HeldOut,
    ImageFigures,
    ProjectFigures,
    Report,
    ReviewFigures,
    RunFigures,
    Status,
    Totals,
    TrustFigures,
)
from src_core.report.image import LABELS, ImageCount, count_image
from src_core.report.record import ANSWERS, Ledger
from src_core.report.sections import collect
from src_core.store.journal import Action
from src_core.store.provenance import PROVENANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src_core.data.case import CaseInfo
    from src_core.report.sections import Contributor
    from src_core.store.project import Project
    from src_core.store.runs import Run

Progress = Callable[[int, int], None]


def chosen_run(project: Project, name: str | None) -> Run | None:
    """The run by this name; without one the newest that has scores, else the newest, else None.

    Raises
    ------
    InputError
        If there is no run of this name.
    """
    if name is not None:
        return project.run(name, scored=False)
    runs = project.runs()
    return next((run for run in runs if run.has_scores), runs[0] if runs else None)


def gather(
    project: Project,
    run: str | None = None,
    *,
    sources: bool = False,
    sections: Sequence[Contributor] = SECTIONS,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> Report:
    """Gather all figures; they are those of one moment of the record, whoever is working on the project meanwhile.

    Parameters
    ----------
    project : Project
        Open for reading is enough.
    run : str, optional
        Whose scores and figures are told; see :func:`chosen_run`.
    sources : bool
        Tell where the source files were.
    sections : sequence of Contributor
    ledger : Ledger, optional
        The record, if it was counted already.
    progress : callable, optional
        Called with images done and images in all.

    Raises
    ------
    InputError
        If there is no such run.
    ProjectDamagedError
        If a part of the project cannot be read.
    """
    told = chosen_run(project, run)
    book = ledger if ledger is not None else Ledger.read(project)
    return _Gathering(project, told, book, sources).report(sections, progress)


class _Gathering:
    """The sums that grow with each image."""

    def __init__(self, project: Project, run: Run | None, ledger: Ledger, sources: bool) -> None:
        self.project, self.run, self.ledger, self.sources = project, run, ledger, sources
        scored = run if run is not None and run.has_scores else None
        self.scored = scored
        self.wrong = {} if scored is None else {row.case_id: row.estimated_wrong_pixels for row in scored.images()}
        self.waiting = self._waiting()
        self.decided = ledger.decided_regions()
        self.before, self.after = (np.zeros(LABELS, np.int64) for _ in range(2))
        self.mm2_before, self.mm2_after = (np.zeros(LABELS) for _ in range(2))
        self.in_mm = 0
        self.conversions: Counter[tuple[int, int]] = Counter()
        self.verified = np.zeros(KINDS, np.int64)
        self.provenance = np.zeros(max(PROVENANCE.values()) + 1, np.int64)
        self.corrected: set[str] = set()
        self.trust = np.zeros(6)

    def _waiting(self) -> Counter[int] | None:
        """Regions of the run without an answer, by case; None without scores."""
        if self.scored is None:
            return None
        done = {region for region, (_, action) in self.ledger.settled.items() if action != Action.SKIP}
        return Counter(region.case_id for region in self.scored.regions() if region.id not in done)

    def report(self, sections: Sequence[Contributor], progress: Progress | None) -> Report:
        images = []
        for done, case in enumerate(self.project.cases, start=1):
            images.append(self._image(case))
            if progress is not None:
                progress(done, len(self.project.cases))
        ledger, project = self.ledger, self.project
        first, last = ledger.span
        return Report(
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            program=__version__,
            project=ProjectFigures(
                name=project.name,
                images=len(project.cases),
                classes=len(project.classes),
                record=ledger.upto,
                first=first,
                last=last,
            ),
            totals=self._totals(images),
            classes=self._classes(),
            images_in_mm=self.in_mm,
            conversions=self._conversions(),
            decisions=ledger.kinds,
            authors=ledger.authors(),
            days=ledger.days(),
            review=self._review(),
            verified={kind.name.lower(): int(self.verified[kind]) for kind in Verified if kind},
            provenance={name: int(self.provenance[value]) for name, value in PROVENANCE.items()},
            trust=self._trust(),
            run=None if self.run is None else _run_figures(self.run),
            images=tuple(images),
            sections=collect(project, self.run, sections),
        )

    # ---------------------------------------------------------------- one image

    def _image(self, case: CaseInfo) -> ImageFigures:
        scored = self.scored if case.id in self.wrong else None
        count = count_image(self.project, case, self.ledger.rows[case.id], scored, len(self.project.classes))
        self._add(case, count)
        status = status_of(count)
        trust, labelled = count.trust, max(count.labelled, 1)
        waiting = None if self.waiting is None else self.waiting[case.id] if status != "verified" else 0
        return ImageFigures(
            name=case.name,
            status=status,
            trusted=case.id in self.ledger.trusted,
            shape=case.shape,
            pixels_changed=count.conversions.total(),
            pixels_vouched=count.vouched,
            dice=count.dice,
            regions_decided=self.decided[case.id],
            regions_open=waiting,
            trust_scored=None if trust is None else trust.scored / labelled,
            trust_now=None if trust is None else trust.now / labelled,
            wrong_scored=None if trust is None else self.wrong[case.id],
            wrong_now=None if trust is None else trust.wrong_now,
            image_path=case.image_path if self.sources else None,
            mask_path=case.mask_path if self.sources else None,
        )

    def _add(self, case: CaseInfo, count: ImageCount) -> None:
        self.before += count.before
        self.after += count.after
        if count.mm2 is not None:
            self.in_mm += 1
            self.mm2_before += count.before * count.mm2
            self.mm2_after += count.after * count.mm2
        self.conversions.update(count.conversions)
        self.verified += count.verified
        self.provenance += count.provenance
        self.corrected |= count.corrected
        if count.trust is not None:
            trust = count.trust
            self.trust += (1, count.labelled, trust.scored, trust.now, self.wrong[case.id], trust.wrong_now)

    # ---------------------------------------------------------------- sums

    def _totals(self, images: list[ImageFigures]) -> Totals:
        status = Counter(image.status for image in images)
        labelled = int(self.after.sum() - self.after[IGNORE])
        vouched = int(self.verified.sum() - self.verified[Verified.NO] - self.verified[Verified.UNSURE])
        changed = self.conversions.total()
        kinds = self.ledger.kinds
        strokes = kinds[Action.EDIT]
        return Totals(
            images_verified=status["verified"],
            images_partly=status["partly"],
            images_open=status["open"],
            images_trusted=sum(image.trusted for image in images),
            images_changed=sum(image.pixels_changed > 0 for image in images),
            pixels=sum(prod(image.shape) for image in images),
            pixels_labelled=labelled,
            pixels_vouched=vouched,
            share_vouched=vouched / labelled if labelled else None,
            pixels_changed=changed,
            share_changed=changed / labelled if labelled else None,
            decisions=sum(kinds.values()) - strokes,
            strokes=strokes,
            regions_decided=self.decided.total(),
            regions_open=None if self.waiting is None else sum(image.regions_open or 0 for image in images),
            dice=float(np.mean([image.dice for image in images])) if images else None,
        )

    def _classes(self) -> tuple[ClassFigures, ...]:
        return tuple(
            ClassFigures(
                index=info.index,
                name=info.name,
                color=OKABE_ITO[info.index % len(OKABE_ITO)] if not _is_color(info.color) else info.color.lower(),
                pixels_before=int(self.before[info.index]),
                pixels_after=int(self.after[info.index]),
                mm2_before=float(self.mm2_before[info.index]) if self.in_mm else None,
                mm2_after=float(self.mm2_after[info.index]) if self.in_mm else None,
            )
            for info in self.project.classes
        )

    def _conversions(self) -> tuple[Conversion, ...]:
        names = {info.index: info.name for info in self.project.classes} | {IGNORE: "unlabelled"}
        return tuple(
            Conversion(given=names.get(given, str(given)), cleaned=names.get(label, str(label)), pixels=pixels)
            for (given, label), pixels in sorted(self.conversions.items(), key=lambda item: (-item[1], item[0]))
        )

    def _review(self) -> ReviewFigures:
        answered = {region for region, (_, action) in self.ledger.settled.items() if action in ANSWERS}
        changed = len(answered & self.corrected)
        gaps = self.ledger.gaps
        return ReviewFigures(
            regions=len(answered),
            changed=changed,
            hit_rate=changed / len(answered) if answered else None,
            median_seconds=self.ledger.median_seconds,
            timed=len(gaps),
            seconds_at_work=sum(gaps),
        )

    def _trust(self) -> TrustFigures | None:
        images, labelled, scored, now, wrong_scored, wrong_now = self.trust.tolist()
        if not images:
            return None
        return TrustFigures(
            images=int(images),
            mean_scored=scored / max(labelled, 1),
            mean_now=now / max(labelled, 1),
            wrong_scored=wrong_scored,
            wrong_now=wrong_now,
        )


def status_of(count: ImageCount) -> Status:
    """How far an image was looked at; pixels without a label need nobody."""
    if not count.vouched:
        return "open"
    return "verified" if count.vouched >= count.labelled else "partly"


def _is_color(text: str) -> bool:
    return len(text) == 7 and text[0] == "#" and all(digit in "0123456789abcdefABCDEF" for digit in text[1:])


def _run_figures(run: Run) -> RunFigures:
    record, history = run.record(), run.history()
    found = [row for row in history if row.get("held_out") and row.get("val_dice") is not None]
    held_out = None
    if found:
        best = max(found, key=lambda row: (row["val_dice"], -row["epoch"]))
        held_out = HeldOut(
            epoch=found[-1]["epoch"],
            dice=found[-1]["val_dice"],
            best_epoch=best["epoch"],
            best_dice=best["val_dice"],
        )
    return RunFigures(
        name=run.name,
        started=str(record.get("started", "")),
        device=str(record.get("device", "")),
        epochs=len(history),
        generation=run.generation,
        held_out=held_out,
        settings={"imported from": run.source} if run.imported else dict(record.get("settings", {})),
        versions={str(name): str(value) for name, value in record.get("versions", {}).items()},
    )
