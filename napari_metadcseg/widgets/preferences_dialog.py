"""Preferences: a person's name in the record, and their keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QKeySequenceEdit,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_metadcseg.keybindings import KEYS, KeyTable
from napari_metadcseg.widgets.parts import heading, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_metadcseg.preferences import Preferences


class PreferencesDialog(QDialog):
    """Asks; what was chosen is sent with ``chosen`` when OK is pressed and all keys are free."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget, preferences: Preferences, login: str) -> None:
        super().__init__(parent)
        self.setObjectName("preferences-dialog")
        self.setWindowTitle("Preferences")
        layout = QVBoxLayout(self)
        form = QFormLayout()
        self._preferences = preferences
        self.author = QLineEdit(preferences.author)
        self.author.setPlaceholderText(login)
        self.author.setToolTip("Written with everything you do from the next opening of a project on")
        form.addRow("Your name", self.author)
        layout.addLayout(form)
        layout.addWidget(heading("Keys"))
        keys = QFormLayout()
        self._table = KeyTable(preferences.keys)
        self.edits: dict[str, QKeySequenceEdit] = {}
        for entry in KEYS:
            edit = QKeySequenceEdit(QKeySequence(self._table.of(entry.action)))
            edit.setMaximumSequenceLength(1)
            edit.setToolTip("Click, then press the key that you want")
            edit.keySequenceChanged.connect(lambda _keys: self._check())
            self.edits[entry.action] = edit
            keys.addRow(entry.text, edit)
        layout.addLayout(keys)
        self.problem = text()
        self.problem.setObjectName("problem")
        layout.addWidget(self.problem)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok
            | QDialogButtonBox.StandardButton.Cancel
            | QDialogButtonBox.StandardButton.RestoreDefaults
        )
        self.buttons.accepted.connect(self._finish)
        self.buttons.rejected.connect(self.reject)
        self.buttons.button(QDialogButtonBox.StandardButton.RestoreDefaults).clicked.connect(self._restore)
        layout.addWidget(self.buttons)

    def _wanted(self) -> dict[str, str]:
        return {action: edit.keySequence().toString() for action, edit in self.edits.items()}

    def _check(self) -> bool:
        """Show the first thing that cannot be; True when all can."""
        why = problem_of(self._wanted())
        self.problem.setText(why)
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(not why)
        return not why

    def _restore(self) -> None:
        for entry in KEYS:
            self.edits[entry.action].setKeySequence(QKeySequence(entry.key))

    def _finish(self) -> None:
        if not self._check():
            return
        first = {entry.action: entry.key for entry in KEYS}
        keys = {action: key for action, key in self._wanted().items() if key != first[action]}
        self.chosen.emit(replace(self._preferences, author=self.author.text().strip(), keys=keys))
        self.accept()


def problem_of(wanted: Mapping[str, str]) -> str:
    """Why these keys cannot be, all of them together, in one sentence; empty when they can."""
    table = KeyTable()
    for action, key in wanted.items():
        table.change(action, key)
    return next((why for action, key in wanted.items() if (why := table.why_not(action, key))), "")
