"""When to stop: how many wrong pixels are left, and the rule that a person sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFrame, QGridLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_metadcseg.widgets.parts import button, heading, text
from napari_metadcseg.widgets.stop_curve import StopCurve
from src_core.review import advice
from src_core.review.advice import StopRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src_core.review.audit import AuditResult
    from src_core.review.stopping import Estimate

EMPTY = (
    "How many wrong pixels are left is told here once there are scores. Train first (Quick look will do), then decide "
    "a few regions."
)
STOP, GO_ON = "#009E73", "#0072B2"


class StopPanel(QWidget):
    """What is left, in words and as a curve, and when to stop.

    Parameters
    ----------
    rule : StopRule, optional
        As it was set before.
    draws : int
        Of an audit.
    """

    rule_changed = Signal(object)
    """The new :class:`StopRule`."""

    audit_asked = Signal(int)
    """So many random draws are wanted."""

    def __init__(self, rule: StopRule | None = None, draws: int = 20) -> None:
        super().__init__()
        self._points: tuple[Estimate, ...] = ()
        self._draws = draws
        rule = rule or StopRule()
        layout = QVBoxLayout(self)
        layout.addWidget(heading("What is left"))
        self.sentence, self.where, self.audited = text(), text(), text()
        self.curve = StopCurve()
        self.advice = text()
        self.card = QFrame()
        QVBoxLayout(self.card).addWidget(self.advice)
        for widget, name in (
            (self.sentence, "left"),
            (self.curve, "curve"),
            (self.where, "where"),
            (self.audited, "audited"),
            (self.card, "advice"),
        ):
            widget.setObjectName(name)
            layout.addWidget(widget)
        layout.addWidget(heading("Stop when"))
        layout.addWidget(self._make_rule(rule))
        self.audit = button(
            f"Check by {draws} random regions",
            "Shows regions drawn at random instead of the most suspect ones. Their answers tell what is left in all "
            "regions, whatever the model believes.",
            lambda: self.audit_asked.emit(self._draws),
            "audit",
        )
        layout.addWidget(self.audit)
        layout.addStretch(1)
        self.show_estimate(())

    def _make_rule(self, rule: StopRule) -> QWidget:
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        self.by_share = QCheckBox("wrong share of the foreground is below")
        self.by_share.setToolTip("Stop when even the upper end of the interval is below this share of the foreground")
        self.share = _percent(100 * (rule.share or 0.01), "Share of the labelled foreground")
        self.by_hits = QCheckBox("regions that are really wrong are below")
        self.by_hits.setToolTip("Stop when fewer of the last regions than this were really wrong")
        self.hits = _percent(100 * (rule.hit_rate or 0.1), "Share of the last regions")
        self.last = QSpinBox()
        self.last.setRange(1, 1000)
        self.last.setValue(rule.last)
        self.last.setToolTip("How many the last regions are; before so many were decided, they say nothing")
        self.by_share.setChecked(rule.share is not None)
        self.by_hits.setChecked(rule.hit_rate is not None)
        grid.addWidget(self.by_share, 0, 0)
        grid.addWidget(self.share, 0, 1)
        grid.addWidget(self.by_hits, 1, 0)
        grid.addWidget(self.hits, 1, 1)
        grid.addWidget(QLabel("of so many that were decided last"), 2, 0, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(self.last, 2, 1)
        for check in (self.by_share, self.by_hits):
            check.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            check.toggled.connect(self._on_rule)
        for spin in (self.share, self.hits, self.last):
            spin.valueChanged.connect(self._on_rule)
        self._enable()
        return box

    @property
    def rule(self) -> StopRule:
        """The rule as it is set."""
        return StopRule(
            share=self.share.value() / 100 if self.by_share.isChecked() else None,
            hit_rate=self.hits.value() / 100 if self.by_hits.isChecked() else None,
            last=self.last.value(),
        )

    def show_estimate(self, points: Sequence[Estimate], audited: AuditResult | None = None) -> None:
        """Show other figures.

        Parameters
        ----------
        points : sequence of Estimate
            The curve, as from :meth:`~src_core.review.stopping.StopEstimator.curve`; empty when there are no scores.
        audited : AuditResult, optional
        """
        self._points = tuple(points)
        there = bool(self._points)
        self.sentence.setText(advice.sentence(self._points[-1]) if there else EMPTY)
        self.where.setText(_where(self._points[-1]) if there else "")
        self.audited.setText(advice.of_audit(audited) if there and audited is not None else "")
        for widget in (self.curve, self.where, self.card):
            widget.setVisible(there)
        self.audited.setVisible(bool(self.audited.text()))
        self.audit.setEnabled(there and self._points[-1].waiting > 0)
        self._show_advice()

    def _show_advice(self) -> None:
        if not self._points:
            return
        now, rule = self._points[-1], self.rule
        found = advice.verdict(rule, now)
        self.advice.setText(found.words)
        self.card.setStyleSheet(f"#advice {{ border-left: 4px solid {STOP if found.stop else GO_ON}; }}")
        self.curve.show_points(self._points, None if rule.share is None else rule.share * now.foreground)

    def _enable(self) -> None:
        self.share.setEnabled(self.by_share.isChecked())
        for spin in (self.hits, self.last):
            spin.setEnabled(self.by_hits.isChecked())

    def _on_rule(self) -> None:
        self._enable()
        self._show_advice()
        self.rule_changed.emit(self.rule)


def _where(now: Estimate) -> str:
    return "\n".join([*(f"•  {words}" for words in advice.places(now)), advice.basis(now)])


def _percent(value: float, tip: str) -> QDoubleSpinBox:
    made = QDoubleSpinBox()
    made.setRange(0.1, 100)
    made.setDecimals(1)
    made.setSuffix(" %")
    made.setValue(value)
    made.setToolTip(tip)
    return made
