"""Edit tools around painting: buttons made from the table of tools, and what they have in common."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_metadcseg.edit_state import EMPTY, EditState
from napari_metadcseg.editing import Request
from napari_metadcseg.widgets.parts import button, text
from src_core.review.tools import PARAMETERS, SCOPES, TOOLS, limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtGui import QShowEvent

    from src_core.review.tools import Parameter, Tool

A_ROW = 3
COLUMNS = 6  # so that two and three buttons share a row evenly
ALL_TIP = "Proposal, Copy and Interpolate take every class over, not only the selected one"
NO_CLASS = "Select a class in the controls of the layer 'label', by its number or with the colour picker (key 5)."

HOW = (
    "Each tool is one step in the record, and Undo (U) takes it back. Nothing is vouched for until you decide on the "
    "region in hand: Confirm painting (D) says that it is right as it looks now."
)


class EditPanel(QWidget):
    """The tools, what they work on, and by how much.

    Parameters
    ----------
    apply : callable
        Called with a :class:`Request` when a tool is pressed.

    Attributes
    ----------
    changed : Signal
        Scope or classes were chosen anew, or the panel came into sight: what can be used may be another.
    """

    changed = Signal()

    def __init__(self, apply: Callable[[Request], object]) -> None:
        super().__init__()
        self._apply = apply
        self._state = EditState()
        layout = QVBoxLayout(self)
        self.empty = text(EMPTY)
        layout.addWidget(self.empty)
        self.body = QWidget()
        layout.addWidget(self.body)
        layout.addStretch(1)
        inside = QVBoxLayout(self.body)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(8)
        inside.addWidget(self._class_line())
        inside.addWidget(self._scope_line())
        inside.addWidget(self._numbers())
        inside.addWidget(self._grid())
        inside.addWidget(text(HOW))
        self.why = text(faint=True)
        self.why.setObjectName("edit-why")
        inside.addWidget(self.why)
        self.show_state(self._state)

    # ---------------------------------------------------------------- parts

    def _class_line(self) -> QWidget:
        self.swatch, self.class_name = QLabel(), QLabel()
        self.class_name.setObjectName("edit-class")
        self.class_name.setToolTip("The tools edit the class that is selected in the controls of the layer 'label'")
        self.all_classes = QCheckBox("All classes")
        self.all_classes.setToolTip(ALL_TIP)
        self.all_classes.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.all_classes.toggled.connect(lambda _on: self.changed.emit())
        return _line(self.swatch, self.class_name, None, self.all_classes)

    def _scope_line(self) -> QWidget:
        self.scopes: dict[str, QRadioButton] = {}
        self._scope_group = QButtonGroup(self)
        for name, (label, tip) in SCOPES.items():
            made = QRadioButton(label)
            made.setToolTip(tip)
            made.setObjectName(f"scope-{name}")
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self.scopes[name] = made
            self._scope_group.addButton(made)
        self.scopes["region"].setChecked(True)
        self._scope_group.buttonToggled.connect(self._on_scope)
        return _line(*self.scopes.values(), None)

    def _numbers(self) -> QWidget:
        """A box a parameter, shared by the tools that have it."""
        made = QWidget()
        layout = QGridLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(6)
        layout.setVerticalSpacing(4)
        self.spins: dict[str, QDoubleSpinBox] = {}
        self.captions: dict[str, QLabel] = {}
        places = {"by": (0, 0), "smaller": (0, 2), "slices": (1, 0)}
        for name, parameter in PARAMETERS.items():
            caption, spin = QLabel(parameter.label), QDoubleSpinBox()
            spin.setObjectName(f"edit-{name}")
            spin.setKeyboardTracking(False)
            spin.lineEdit().returnPressed.connect(spin.clearFocus)  # keys belong to the canvas
            caption.setBuddy(spin)
            for widget in (caption, spin):
                widget.setToolTip(parameter.tip)
            line, column = places[name]
            layout.addWidget(caption, line, column)
            layout.addWidget(spin, line, column + 1)
            self.captions[name], self.spins[name] = caption, spin
        for column in (1, 3):
            layout.setColumnStretch(column, 1)
        return made

    def _grid(self) -> QWidget:
        made = QWidget()
        layout = QGridLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.buttons = {}
        line = 0
        for _, group in groupby(TOOLS.values(), key=lambda entry: entry.group):
            entries = list(group)
            for start in range(0, len(entries), A_ROW):
                some = entries[start : start + A_ROW]
                for at, entry in enumerate(some):
                    made_button = self._button(entry)
                    span = COLUMNS // len(some)
                    layout.addWidget(made_button, line, at * span, 1, span)
                    self.buttons[entry.name] = made_button
                line += 1
        for column in range(COLUMNS):
            layout.setColumnStretch(column, 1)
        return made

    def _button(self, entry: Tool) -> QWidget:
        made = button(entry.label, entry.tip, lambda: self._press(entry), f"edit-{entry.name}")
        made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        made.setMinimumWidth(made.fontMetrics().horizontalAdvance(entry.label) + 12)
        return made

    # ---------------------------------------------------------------- asking

    @property
    def scope(self) -> str:
        """The part of the image that tools are kept to."""
        return next(name for name, radio in self.scopes.items() if radio.isChecked())

    def _on_scope(self, _button: object, on: bool) -> None:
        if on:
            self.show_state(self._state)
            self.changed.emit()

    def _press(self, entry: Tool) -> None:
        values = {name: self.spins[name].value() for name in entry.parameters if not self.spins[name].isHidden()}
        every = entry.all_classes and self.all_classes.isChecked()
        self._apply(Request(tool=entry.name, scope=self.scope, all_classes=every, values=values))  # type: ignore[arg-type]

    # ---------------------------------------------------------------- showing

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what happened out of sight."""
        super().showEvent(event)
        self.changed.emit()

    def show_state(self, state: EditState) -> None:
        """Draw what can be edited now."""
        before, self._state = self._state, state
        self.empty.setVisible(not state.ready)
        self.body.setVisible(state.ready)
        if not state.volume and self.scope == "slice":
            self.scopes["region"].setChecked(True)  # comes back here
            return
        self.scopes["slice"].setVisible(state.volume)
        self._show_class(state)
        for name, parameter in PARAMETERS.items():
            self._show_number(name, parameter, state, anew=(before.unit, before.pixel) != (state.unit, state.pixel))
        for name, made in self.buttons.items():
            missing = state.missing.get((self.scope, name), "")
            made.setEnabled(state.ready and not missing)
            made.setToolTip(f"{TOOLS[name].tip}." + (f"\n\n{missing}" if missing else ""))
            made.setVisible(state.stacked or TOOLS[name].group != "slices")
        self.why.setText(self._reason(state))
        self.why.setVisible(bool(self.why.text()))

    def _show_class(self, state: EditState) -> None:
        active = state.active
        side = self.class_name.fontMetrics().ascent()
        square = QPixmap(side, side)
        square.fill(QColor(active.color) if active is not None and active.index else Qt.GlobalColor.transparent)
        self.swatch.setPixmap(square)
        self.swatch.setVisible(active is not None and active.index > 0)
        self.class_name.setText(f"Edits {active.name}" if active is not None else "No class is selected")
        self.all_classes.setVisible(state.many)
        if not state.many:
            self.all_classes.setChecked(False)

    def _show_number(self, name: str, parameter: Parameter, state: EditState, *, anew: bool) -> None:
        spin = self.spins[name]
        if anew or not spin.suffix():
            default, low, high, step = limits(parameter, state.pixel)
            length = parameter.unit == "length"
            spin.setDecimals(2 if length and state.unit != "px" else 0)
            spin.setRange(low, high)
            spin.setSingleStep(step)
            spin.setSpecialValueText(parameter.special)
            spin.setSuffix(f" {state.unit}" if length else {"pixels": " px", "slices": " slices"}[parameter.unit])
            if length or spin.value() == spin.minimum():
                spin.setValue(default)
        if parameter.unit == "slices":
            spin.setVisible(state.volume)
            self.captions[name].setVisible(state.volume)

    def _reason(self, state: EditState) -> str:
        """Why nothing of the outline can be edited, where nothing can: the person should not have to hover."""
        if not state.ready:
            return ""
        if state.active is None or state.active.index == 0:
            return NO_CLASS
        outline = [name for name, entry in TOOLS.items() if entry.group == "outline"]
        missing = [state.missing.get((self.scope, name), "") for name in outline]
        words = missing[0].partition(": ")[2] if all(missing) else ""
        return words[:1].upper() + words[1:]


def _line(*widgets: QWidget | None) -> QWidget:
    """Widgets side by side at their own width; None is room."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for widget in widgets:
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget)
    return made
