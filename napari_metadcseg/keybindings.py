"""The keys, one table: bound to the viewer, shown in tooltips and in the help.

They are chosen among those that napari leaves free while an image or a label layer is active, so painting keys (1 to
7, E, P, F, L, Z, M, X, B, brackets) go on working.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from napari_metadcseg.controller import Controller


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes
    ----------
    key : str
        As napari writes it.
    action : str
        Method of the controller.
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
    Key("S", "skip", "Skip the region; it comes again at the end"),
    Key("N", "next", "Next region"),
    Key("Shift-N", "previous", "Previous region"),
    Key("I", "verify_image", "The whole mask of this image is right"),
    Key("U", "undo", "Undo the last decision or stroke"),
    Key("Shift-U", "redo", "Redo"),
)

HELP_KEY = "H"

PAINTING = (
    ("2", "Paint (on the layer 'label')"),
    ("1", "Erase"),
    ("4", "Fill"),
    ("6", "Move and zoom again"),
    ("[ and ]", "Smaller or larger brush"),
    ("Ctrl-Z", "Undo, like U"),
)
"""napari's own keys that matter here."""


def key_of(action: str) -> str:
    """Key of an action, for labels and tooltips."""
    return next(entry.key for entry in KEYS if entry.action == action)


def bind(viewer: napari.Viewer, controller: Controller, show_help: Any) -> None:
    """Bind all keys to a viewer."""
    for entry in KEYS:
        viewer.bind_key(entry.key, _caller(controller, entry.action), overwrite=True)
    viewer.bind_key(HELP_KEY, lambda _viewer: show_help(), overwrite=True)


def unbind(viewer: napari.Viewer) -> None:
    """Take the keys back."""
    for key in (*(entry.key for entry in KEYS), HELP_KEY):
        viewer.bind_key(key, None, overwrite=True)


def _caller(controller: Controller, action: str) -> Any:
    def call(_viewer: Any) -> None:
        getattr(controller, action)()

    return call


def help_html() -> str:
    """The table of keys, as rich text."""
    rows = [(entry.key, entry.text) for entry in KEYS] + [(HELP_KEY, "This help")]
    ours = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>" for key, text in rows)
    theirs = "".join(f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>" for key, text in PAINTING)
    return f"<h3>Review</h3><table>{ours}</table><h3>Painting</h3><table>{theirs}</table>"
