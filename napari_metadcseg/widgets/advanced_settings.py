"""All settings of a training, made from their declaration: grouped, explained, what is off the preset marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QSpinBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_metadcseg.widgets.parts import button, heading, row, text
from src_core.config import PRESET_WORDS, TrainingSettings
from src_core.config_fields import SettingField, setting_fields
from src_core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from src_core.train.autoconfig import Suggestion

MARK = "●"


class Editor:
    """One setting: its label, the widget that edits it, and the button that takes it back.

    Parameters
    ----------
    field : SettingField
    changed : callable
        Called after every change.
    """

    def __init__(self, field: SettingField, changed: Callable[[], object]) -> None:
        self.field = field
        self.label = QLabel(field.label)
        self.widget = _MAKERS[field.kind](field, changed)
        self.reset = button("↺", "Back to the value of the preset", lambda: self.put(self.base), f"reset-{field.name}")
        self.reset.setMaximumWidth(3 * self.reset.fontMetrics().averageCharWidth() + 16)
        self.base: Any = None
        self.widget.setObjectName(field.name)
        for each in (self.label, self.widget):
            each.setToolTip(f"<qt>{field.help}</qt>")

    def value(self) -> Any:
        """What it is set to."""
        widget = self.widget
        if isinstance(widget, QCheckBox):
            return widget.isChecked()
        if isinstance(widget, QComboBox):
            return widget.currentText().strip()
        return widget.value()

    def put(self, value: Any) -> None:
        """Set it."""
        widget = self.widget
        if isinstance(widget, QCheckBox):
            widget.setChecked(value)
        elif isinstance(widget, QComboBox):
            widget.setCurrentText(value)
        else:
            widget.setValue(value)

    def mark(self) -> bool:
        """Show whether it is off the preset; True if so."""
        off = self.value() != self.base
        self.label.setText(f"{MARK} {self.field.label}" if off else self.field.label)
        font = self.label.font()
        font.setBold(off)
        self.label.setFont(font)
        self.reset.setEnabled(off)
        return off


class _Number(QDoubleSpinBox):
    """Numbers from 1e-8 to thousands, written without the zeros that say nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setDecimals(8)
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        """As short as it is exact."""
        return self.locale().toString(value, "g", 8)


def _number(field: SettingField, changed: Callable[[], object]) -> QWidget:
    made = _Number()
    made.setRange(field.low, field.high)
    made.valueChanged.connect(lambda _value: changed())
    return made


def _whole(field: SettingField, changed: Callable[[], object]) -> QWidget:
    made = QSpinBox()
    made.setRange(int(field.low), int(field.high))
    made.setSingleStep(field.step)
    made.valueChanged.connect(lambda _value: changed())
    return made


def _switch(_field: SettingField, changed: Callable[[], object]) -> QWidget:
    made = QCheckBox()
    made.toggled.connect(lambda _on: changed())
    return made


def _choice(field: SettingField, changed: Callable[[], object]) -> QWidget:
    made = QComboBox()
    made.addItems(field.choices)
    made.setEditable(field.kind == "text")
    made.currentTextChanged.connect(lambda _words: changed())
    return made


_MAKERS: dict[str, Callable[[SettingField, Callable[[], object]], Any]] = {
    "number": _number,
    "whole": _whole,
    "switch": _switch,
    "choice": _choice,
    "text": _choice,
}


class AdvancedSettings(QDialog):
    """The form.

    Parameters
    ----------
    parent : QWidget
    base : TrainingSettings
        Of the preset; what differs from it is marked.
    settings : TrainingSettings
        What is set.
    suggestion : Suggestion, optional
        What fits images and machine.
    estimate : callable, optional
        Says how long a training with given settings takes.

    Attributes
    ----------
    chosen : Signal(TrainingSettings)
        Sent when OK is pressed.
    """

    chosen = Signal(object)

    def __init__(
        self,
        parent: QWidget | None,
        base: TrainingSettings,
        settings: TrainingSettings,
        suggestion: Suggestion | None = None,
        estimate: Callable[[TrainingSettings], str] | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("advanced-settings")
        self.setWindowTitle("Settings of the next training")
        self._base, self._suggestion, self._estimate = base, suggestion, estimate
        layout = QVBoxLayout(self)
        self.words = text()
        layout.addWidget(self.words)
        self.editors = {field.name: Editor(field, self._follow) for field in setting_fields()}
        self.tabs = QTabWidget()
        self.tabs.setUsesScrollButtons(False)
        for group in dict.fromkeys(editor.field.group for editor in self.editors.values()):
            self.tabs.addTab(self._page(group), group)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self._make_suggestion())
        self.problem = text()
        self.problem.setObjectName("problem")
        layout.addWidget(self.problem)
        kinds = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel | kinds.Reset)
        self.buttons.button(kinds.Reset).setText("Back to the preset")
        self.buttons.button(kinds.Reset).clicked.connect(lambda _checked=False: self.put(self._base))
        self.buttons.accepted.connect(self._finish)
        self.buttons.rejected.connect(self.reject)
        layout.addWidget(self.buttons)
        self._quiet = False
        for name, editor in self.editors.items():
            editor.base = getattr(base, name)
        self.put(settings)
        self.resize(84 * self.fontMetrics().averageCharWidth(), self.sizeHint().height())

    def _page(self, group: str) -> QWidget:
        page = QWidget()
        grid = QGridLayout(page)
        editors = [editor for editor in self.editors.values() if editor.field.group == group]
        for place, editor in enumerate(editors):
            grid.addWidget(editor.label, place, 0)
            grid.addWidget(editor.widget, place, 1)
            grid.addWidget(editor.reset, place, 2)
        grid.setColumnStretch(1, 1)
        grid.setRowStretch(len(editors), 1)
        return page

    def _make_suggestion(self) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("What fits these images and this machine"))
        self.reasons = text("The images are being looked at; open this window again in a moment.")
        layout.addWidget(self.reasons)
        self.suggest_button = button("Take these values", "Set what is named above", self.take_suggestion, "suggest")
        layout.addWidget(row(self.suggest_button))
        if self._suggestion is not None:
            choices = [f"{_label(each.name)} {each.value}: {each.why}" for each in self._suggestion.choices]
            self.reasons.setText("\n".join(f"• {words}" for words in (*choices, *self._suggestion.notes)))
        return box

    # ---------------------------------------------------------------- values

    def put(self, settings: TrainingSettings) -> None:
        """Show settings."""
        self._quiet = True
        for name, editor in self.editors.items():
            editor.put(getattr(settings, name))
        self._quiet = False
        self._follow()

    def take_suggestion(self) -> None:
        """Set what fits images and machine; everything else stays."""
        if self._suggestion is not None:
            for choice in self._suggestion.choices:
                self.editors[choice.name].put(choice.value)

    def settings(self) -> TrainingSettings:
        """What is set.

        Raises
        ------
        SettingsError
            If two values do not go together, or one is out of its range.
        """
        values = {name: editor.value() for name, editor in self.editors.items()}
        return TrainingSettings(**values, preset=self._base.preset)

    def _follow(self) -> None:
        """Mark what is off the preset, and say what that means."""
        if self._quiet:
            return
        off = sum(editor.mark() for editor in self.editors.values())
        for index in range(self.tabs.count()):
            group = self.tabs.tabText(index).removeprefix(f"{MARK} ")
            marked = any(each.value() != each.base for each in self.editors.values() if each.field.group == group)
            self.tabs.setTabText(index, f"{MARK} {group}" if marked else group)
        try:
            settings = self.settings()
        except SettingsError as error:
            self.problem.setText(str(error))
            settings = None
        else:
            self.problem.setText("")
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(settings is not None)
        self.buttons.button(QDialogButtonBox.StandardButton.Reset).setEnabled(off > 0)
        choices = () if self._suggestion is None else self._suggestion.choices
        self.suggest_button.setEnabled(any(self.editors[each.name].value() != each.value for each in choices))
        takes = f" It takes {self._estimate(settings)}." if self._estimate is not None and settings is not None else ""
        preset = PRESET_WORDS[self._base.preset]
        count = f"{off} settings differ from it ({MARK})" if off != 1 else f"1 setting differs from it ({MARK})"
        self.words.setText(f"Preset {preset}: {count if off else 'nothing is changed'}.{takes}")

    def _finish(self) -> None:
        self.chosen.emit(self.settings())
        self.accept()


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
