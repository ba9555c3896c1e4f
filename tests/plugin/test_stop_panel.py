"""The panel that tells when to stop."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QApplication

from napari_metadcseg.widgets.stop_panel import EMPTY, StopPanel
from src_core.review.advice import StopRule
from src_core.review.audit import AuditResult
from src_core.review.stopping import Amount, Estimate

pytestmark = pytest.mark.gui


def point(decided, value, hits=0, waiting=40):
    return Estimate(
        wrong=Amount(value, 0.6 * value, 1.7 * value), in_regions=Amount(value / 2, 0, value),
        doubted=Amount(10, 4, 30), trusted=Amount(value / 2, 100, value), foreground=100_000, decided=decided,
        waiting=waiting, hits=hits, last=min(decided, 20), found=500, checked=0,
    )  # fmt: skip


CURVE = tuple(point(step, 9000 / (1 + step / 8), hits=min(step, max(20 - step // 2, 3))) for step in range(0, 60, 4))


@pytest.fixture
def panel(qtbot):
    made = StopPanel(StopRule(share=0.02, hit_rate=None, last=10))
    qtbot.addWidget(made)
    made.resize(400, 600)
    made.show()
    return made


def test_empty_it_says_what_to_do(panel):
    assert panel.sentence.text() == EMPTY
    assert not panel.curve.isVisible()
    assert not panel.audit.isEnabled()


def test_figures_advice_and_curve(panel, qtbot):
    panel.show_estimate(CURVE)
    assert panel.sentence.text().startswith("About 1,100 (680 to 1,900) wrong pixels left")
    assert "was not checked" in panel.where.text()
    assert panel.advice.text().startswith("You can stop: at most 1.9 %")
    assert not panel.audited.isVisible()
    panel.share.setValue(1.0)
    assert panel.advice.text().startswith("Go on:")
    panel.show_estimate(CURVE, AuditResult(value=300, low=50, high=900, draws=20, answered=20, waiting=()))
    assert "Audit of 20 random draws: about 300 (50 to 900)" in panel.audited.text()
    with qtbot.waitSignal(panel.audit_asked) as asked:
        panel.audit.click()
    assert asked.args == [20]
    panel.show_estimate((point(60, 500, waiting=0),))
    assert not panel.audit.isEnabled()


def test_the_rule_is_told(panel, qtbot):
    assert panel.rule == StopRule(share=0.02, hit_rate=None, last=10)
    with qtbot.waitSignal(panel.rule_changed) as changed:
        panel.by_hits.setChecked(True)
    assert changed.args == [StopRule(share=0.02, hit_rate=0.1, last=10)]
    panel.by_share.setChecked(False)
    assert not panel.share.isEnabled()
    assert panel.rule.share is None


def pixels(panel):
    QApplication.processEvents()
    image = panel.curve.grab().toImage()
    return {
        image.pixelColor(x, y).name() for x in range(0, image.width()) for y in range(0, image.height())
    }  # fmt: skip


def test_the_curve_is_drawn(panel):
    panel.show_estimate(CURVE)
    drawn = pixels(panel)
    for color in ("#56b4e9", "#e69f00", "#d55e00"):
        assert color in drawn
    panel.show_estimate(CURVE[:1])  # one point only
    assert "#56b4e9" in pixels(panel)


def test_nothing_is_cut_off_in_a_narrow_dock(panel):
    panel.show_estimate(CURVE)
    assert panel.minimumSizeHint().width() <= 400
