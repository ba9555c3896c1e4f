"""The keys, one table: bound to canvas and panel, shown in tooltips and in the help, changeable in the preferences.

They are chosen among those that napari leaves free while an image or a label layer is active, so painting keys (1 to
7, E, P, F, L, Z, M, X, B, brackets) go on working.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app_model.types import KeyBinding
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import napari
    from qtpy.QtWidgets import QWidget


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes
    ----------
    key : str
        As napari writes it.
    action : str
        What it does: a method of the controller, or of the window.
    text : str
        What it does, in words.
    """

    key: str
    action: str
    text: str


KEYS = (
    Key("A", "accept", "Accept the proposal of the region"),
    Key("K", "keep", "Keep the label of the region: it is right"),
    Key("D", "confirm", "Done painting: what I painted is right"),
    Key("Q", "unsure", "Unsure: nobody can tell; it is not asked again"),
    Key("S", "skip", "Skip the region; it comes again at the end"),
    Key("N", "next", "Next region"),
    Key("Shift+N", "previous", "Previous region"),
    Key("J", "jump", "Jump to a region by its number"),
    Key("Shift+A", "accept_all", "Accept all proposals that wait in this image"),
    Key("W", "edit_here", "Edit what is in view (of a large image only a framed part can be edited)"),
    Key("I", "verify_image", "The whole mask of this image is right"),
    Key("U", "undo", "Undo the last decision or stroke"),
    Key("Shift+U", "redo", "Redo"),
    Key("H", "help", "Show the keys; so does ?"),
)

PAINTING = (
    ("2", "Paint (on the layer 'label')"),
    ("1", "Erase"),
    ("4", "Fill"),
    ("6", "Move and zoom again"),
    ("[ and ]", "Smaller or larger brush"),
    ("Ctrl+Z", "Undo, like U"),
)
"""napari's own keys that matter here."""

OTHER_LAYERS = ("points", "shape", "vectors", "tracks", "surface", "vertex", "plane", "select_", "add_", "direct_mode")


class KeyTable:
    """The keys in use.

    Parameters
    ----------
    changed : mapping of action to key
        What a person wants otherwise; what cannot be is left as it was.
    """

    def __init__(self, changed: Mapping[str, str] | None = None) -> None:
        self.keys = KEYS
        for action, key in (changed or {}).items():
            if action in {entry.action for entry in KEYS} and not self.why_not(action, key):
                self.keys = self._with(action, key)

    def of(self, action: str) -> str:
        """Key of an action, for labels and tooltips."""
        return next(entry.key for entry in self.keys if entry.action == action)

    def why_not(self, action: str, key: str) -> str:
        """Why an action cannot have a key, in one sentence; empty when it can."""
        wanted = _normal(key)
        if not wanted:
            return "Press the key that you want."
        for entry in self.keys:
            if entry.action != action and _normal(entry.key) == wanted:
                return f"{key} is the key of '{entry.text}' already; choose another."
        use = taken_by_napari().get(wanted)
        return f"{key} is napari's key for '{use}'; choose another." if use else ""

    @property
    def changed(self) -> dict[str, str]:
        """Action to key, where they are not as everybody starts."""
        return {new.action: new.key for new, old in zip(self.keys, KEYS, strict=True) if new.key != old.key}

    def change(self, action: str, key: str) -> None:
        """Give an action another key; ask :meth:`why_not` first."""
        self.keys = self._with(action, key)

    def reset(self) -> None:
        """Be as everybody starts."""
        self.keys = KEYS

    def _with(self, action: str, key: str) -> tuple[Key, ...]:
        return tuple(replace(entry, key=key) if entry.action == action else entry for entry in self.keys)

    def help_html(self) -> str:
        """The table of keys, as rich text."""
        ours = "".join(_line(entry.key, entry.text) for entry in self.keys)
        theirs = "".join(_line(key, text) for key, text in PAINTING)
        return f"<h3>Review</h3><table>{ours}</table><h3>Painting</h3><table>{theirs}</table>"


class Bindings:
    """Binds a table to the canvas of a viewer and to a panel beside it, and lets go again.

    Parameters
    ----------
    viewer : napari.Viewer
    panel : QWidget
        The keys work while it has the focus, too.
    call : callable
        Gets the action.
    """

    def __init__(self, viewer: napari.Viewer, panel: QWidget, call: Callable[[str], None]) -> None:
        self._viewer, self._panel, self._call = viewer, panel, call
        self._bound: list[str] = []
        self._shortcuts: list[QShortcut] = []

    def bind(self, table: KeyTable) -> None:
        """Bind these keys, and no others of ours."""
        self.release()
        for entry in table.keys:
            self._viewer.bind_key(entry.key, self._caller(entry.action), overwrite=True)
            self._bound.append(entry.key)
            self._add_shortcut(entry.key, entry.action, Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self._add_shortcut("?", "help", Qt.ShortcutContext.WindowShortcut)  # where ? is differs by keyboard

    def release(self, *, widgets: bool = True) -> None:
        """Take the keys back; without ``widgets`` only those of the viewer, when the panel is gone already."""
        for key in self._bound:
            self._viewer.bind_key(key, None, overwrite=True)
        if widgets:
            for shortcut in self._shortcuts:
                shortcut.setEnabled(False)
                shortcut.deleteLater()
        self._bound, self._shortcuts = [], []

    def _add_shortcut(self, key: str, action: str, context: Qt.ShortcutContext) -> None:
        shortcut = QShortcut(QKeySequence(key), self._panel)
        shortcut.setContext(context)
        shortcut.activated.connect(lambda: self._call(action))
        self._shortcuts.append(shortcut)

    def _caller(self, action: str) -> Callable[[object], None]:
        return lambda _viewer: self._call(action)


def taken_by_napari() -> dict[str, str]:
    """Keys that napari or its image and label layers use, as the person has them set, and what for."""
    taken = {}
    for action, keys in get_settings().shortcuts.shortcuts.items():
        if not any(word in action for word in OTHER_LAYERS):
            words = action.removeprefix("napari:").replace("_", " ")
            taken |= {_normal(str(key)): words for key in keys}
    return taken


def _normal(key: str) -> str:
    return str(KeyBinding.from_str(key)).casefold() if key else ""


def _line(key: str, text: str) -> str:
    return f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>"
