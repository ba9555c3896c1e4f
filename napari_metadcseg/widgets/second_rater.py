"""A second person judges regions anew, blind: one picture, three answers, and at the end how far both agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QDialog, QLineEdit, QProgressBar, QShortcut, QSpinBox, QVBoxLayout, QWidget

from napari_metadcseg.widgets.parts import button, heading, row, text
from napari_metadcseg.widgets.preview import Preview, outlined
from src_core.data.case import Box
from src_core.data.slices import best_slice, slice_axis, slice_box
from src_core.errors import MetaDCSegError
from src_core.review import second_sample
from src_core.review.agreement import agreement, sentences
from src_core.review.second_rater import Answer, SecondRaterSession, unfinished

if TYPE_CHECKING:
    from src_core.review.second_rater import Shown
    from src_core.store.project import Project

INTRODUCTION = (
    "Another person looks at a share of the regions that were decided, without knowing the first answer. A few made-up "
    "ones are among them. Nothing that is answered here changes a mask."
)
SHARE = 20
"""Of the decided regions, in percent, unless chosen otherwise."""

MARGIN = 24
"""Surroundings of a region that are shown, px, at least."""

ANSWERS = (
    (Answer.ACCEPT, "Proposal is right", "A"),
    (Answer.KEEP, "Label is right", "K"),
    (Answer.UNSURE, "Unsure", "Q"),
)


class SecondRaterDialog(QDialog):
    """Asks for a name, then for one answer after the other; what was answered is saved at once.

    Parameters
    ----------
    parent : QWidget
    project : Project
        Open for writing.
    author : str
        Proposed name of the second rater; empty to have it typed.
    """

    again_asked = Signal()

    def __init__(self, parent: QWidget, project: Project, author: str = "") -> None:
        super().__init__(parent)
        self.setObjectName("second-rater")
        self.setWindowTitle("Second rater")
        self.resize(560, 480)
        self._project = project
        self._session: SecondRaterSession | None = None
        layout = QVBoxLayout(self)
        self.words = text(INTRODUCTION)
        layout.addWidget(self.words)
        self.start_box = self._make_start(author)
        layout.addWidget(self.start_box)
        self.work_box = self._make_work()
        layout.addWidget(self.work_box, 1)
        self.again_button = button(
            "Look at the disagreements", "Decide them once more, one by one", self._again, "again"
        )
        self.again_button.hide()
        layout.addWidget(self.again_button)
        self.problem = text()
        self.problem.setObjectName("problem")
        layout.addWidget(self.problem)
        layout.addStretch(0)
        self.work_box.hide()

    def _make_start(self, author: str) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        self.author = QLineEdit(author)
        self.author.setPlaceholderText("Name of the second rater")
        self.author.setToolTip("Stands with every answer; it must be somebody else than who reviewed first")
        self.share = QSpinBox()
        self.share.setRange(1, 100)
        self.share.setValue(SHARE)
        self.share.setPrefix("show ")
        self.share.setSuffix(" % of the decided regions")
        self.start_button = button("Start", "Draw regions at random, or go on where you stopped", self.start, "start")
        for widget in (self.author, self.share, self.start_button):
            layout.addWidget(widget)
        layout.addStretch(1)
        return box

    def _make_work(self) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        self.place = heading("")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.preview = Preview(height=260, titles=("Label", "Proposal"))
        self.answers = {
            answer: button(f"{words} ({key})", f"Key: {key}", lambda answer=answer: self.answer(answer), str(answer))  # type: ignore[misc]
            for answer, words, key in ANSWERS
        }
        self.undo_button = button("Undo (U)", "Take the last answer back", self.undo, "undo")
        for widget in (self.place, self.bar, self.preview, row(*self.answers.values()), self.undo_button):
            layout.addWidget(widget)
        layout.addStretch(1)
        for answer, _, key in ANSWERS:
            QShortcut(QKeySequence(key), box).activated.connect(lambda answer=answer: self.answer(answer))
        QShortcut(QKeySequence("U"), box).activated.connect(self.undo)
        return box

    # ---------------------------------------------------------------- work

    def start(self) -> None:
        """Draw a sample, or take up the one that is not finished."""
        author = self.author.text().strip()
        if not author:
            self.problem.setText("Type the name of the second rater first.")
            return
        try:
            if not unfinished(self._project, author):
                seed = self._project.version()[0]
                second_sample.draw(self._project, author, share=self.share.value() / 100, seed=seed)
            self._session = SecondRaterSession(self._project, author)
            shown = self._session.next()
        except MetaDCSegError as error:
            self.problem.setText(str(error))
            return
        self.problem.setText("")
        self.start_box.hide()
        self.work_box.show()
        self._show(shown)
        self.preview.setFocus()

    def answer(self, answer: Answer) -> None:
        """Answer the item in hand and show the next one."""
        if self._session is not None and self._session.current is not None:
            self._do(lambda session: session.answer(answer))

    def undo(self) -> None:
        """Take the last answer back and show its item again."""
        self._do(lambda session: session.undo() or session.current)

    def _again(self) -> None:
        self.accept()
        self.again_asked.emit()

    def _do(self, act) -> None:  # type: ignore[no-untyped-def]
        if self._session is None:
            return
        try:
            self._show(act(self._session))
        except MetaDCSegError as error:
            self.problem.setText(str(error))

    # ---------------------------------------------------------------- showing

    def _show(self, shown: Shown | None) -> None:
        assert self._session is not None
        progress = self._session.progress
        self.bar.setMaximum(progress.total)
        self.bar.setValue(progress.answered)
        self.undo_button.setEnabled(progress.answered > 0)
        for made in self.answers.values():
            made.setEnabled(shown is not None)
        if shown is None:
            self.preview.show_pictures(())
            self.place.setText("All regions are answered. Thank you.")
            sample = self._project.samples.all(second_sample.PURPOSE)[0]
            found = agreement(self._project, sample)
            self.words.setText(sentences(found))
            self.again_button.setVisible(bool(found.disagreements))
            return
        self.again_button.hide()
        self.words.setText("Which of the two is right in the bright part?")
        self.place.setText(f"{progress.answered + 1} of {progress.total}")
        axis = slice_axis(self._project.case(shown.case_id)) if shown.label.ndim == 3 else None
        place = _around(shown.box, shown.label.shape)
        if axis is not None:
            place = slice_box(place, axis, best_slice(shown.mask, axis))
        parts = [values[place.slices] for values in (shown.image, shown.mask, shown.label, shown.proposed)]
        image, inside, *labels = parts if axis is None else [part.take(0, axis=axis) for part in parts]
        classes = self._project.classes
        self.preview.show_pictures([outlined(image, label, inside, classes) for label in labels])


def _around(box: Box, shape: tuple[int, ...]) -> Box:
    margin = max(MARGIN, int(np.max(box.shape)) // 2)
    start = tuple(max(edge - margin, 0) for edge in box.start)
    return Box(start, tuple(min(edge + margin, whole) for edge, whole in zip(box.stop, shape, strict=True)))
