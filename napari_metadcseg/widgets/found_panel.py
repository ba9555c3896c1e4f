"""What a new project would be made of: images, classes, problems."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_metadcseg.background import run_in_background
from napari_metadcseg.widgets.parts import heading, text
from src_core.io.preview import Preview, preview

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_MS = 400
MAX_PROBLEMS = 6
EMPTY = "Choose images and masks; what is found is shown here before anything is made."


def words_of(found: Preview) -> str:
    """What was found, as rich text."""
    if found.problems:
        count = len(found.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        items = "".join(f"<li>{escape(problem)}</li>" for problem in found.problems[:MAX_PROBLEMS])
        more = f"<p>… and {count - MAX_PROBLEMS} more.</p>" if count > MAX_PROBLEMS else ""
        return f"<p><b>{head}</b></p><ul style='margin-left: -24px'>{items}</ul>{more}"
    parts = [f"<b>{found.images} {'image' if found.images == 1 else 'images'}</b> from {escape(found.layout)}"]
    parts += [f"{found.unlabelled} without a mask"] if found.unlabelled else []
    parts += [f"{found.trusted} with a trusted mask"] if found.trusted else []
    chips = " &nbsp; ".join(
        f"<span style='color: {info.color}; background: {info.color}'>&nbsp;&nbsp;&nbsp;</span> {escape(info.name)} "
        f"({info.value})"
        for info in found.classes
    )
    return (
        f"<p>{', '.join(parts)}.</p><p>First: {escape(found.first)}</p><p>Classes: {chips}</p>"
        f"<p><i>{escape(found.rule)}</i></p>"
    )


class FoundPanel(QFrame):
    """Looks in the background whenever paths change; a late answer to an older question is dropped.

    Parameters
    ----------
    values : callable
        Keywords of :func:`~src_core.io.preview.preview`; no images when nothing is to be looked for yet.
    """

    def __init__(self, values: Callable[[], dict[str, object]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values = values
        self._generation = 0
        self.found: Preview | None = None
        self.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QVBoxLayout(self)
        layout.addWidget(heading("What was found"))
        self.label = text(EMPTY, rich=True)
        self.label.setObjectName("found")
        layout.addWidget(self.label)
        layout.addStretch(1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.look)

    def ask(self) -> None:
        """Look when nothing has changed for a moment."""
        self._generation += 1
        self.found = None
        self._timer.start(WAIT_MS)

    def stop(self) -> None:
        """Drop whatever is still to come."""
        self._generation += 1
        self._timer.stop()

    def look(self) -> None:
        """Look now."""
        values = self._values()
        self._generation += 1
        generation = self._generation
        if not values.get("images"):
            self.label.setText(EMPTY)
            return
        self.label.setText("Looking at the files…")

        def done(found: Preview) -> None:
            if generation == self._generation:
                self.found = found
                self.label.setText(words_of(found))

        def failed(words: str) -> None:
            done(Preview(problems=(words,)))

        run_in_background(lambda: preview(**values), done, failed)  # type: ignore[arg-type]
