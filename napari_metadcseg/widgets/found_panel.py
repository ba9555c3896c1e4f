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

    from napari_metadcseg.background import Run

WAIT_MS = 400
MAX_PROBLEMS = 6
WITHOUT_MASK = "Take images without a mask, too"
EMPTY = "Choose images and masks; what is found is shown here before anything is made."


def words_of(found: Preview) -> str:
    """What was found, as rich text."""
    if found.problems:
        count = len(found.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        if found.lacking:
            head = f"{found.lacking} of the images {'has' if found.lacking == 1 else 'have'} no mask"
        items = "".join(f"<li>{escape(problem)}</li>" for problem in found.problems[:MAX_PROBLEMS])
        more = f"<p>… and {count - MAX_PROBLEMS} more.</p>" if count > MAX_PROBLEMS else ""
        hint = f". To go on without, tick <i>{WITHOUT_MASK}</i>: the model proposes one." if found.lacking else ""
        return f"<p><b>{head}</b>{hint}</p><ul style='margin-left: -24px'>{items}</ul>{more}"
    if not found.images:
        return f"<p><b>Nothing new.</b> The project has all {found.existing} of these images already.</p>"
    parts = [f"<b>{found.images} {'image' if found.images == 1 else 'images'}</b> from {escape(found.layout)}"]
    parts += [f"{found.unlabelled} without a mask"] if found.unlabelled else []
    parts += [f"{found.trusted} with a trusted mask"] if found.trusted else []
    parts += [f"{found.existing} more are in the project already and are left out"] if found.existing else []
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
        Keywords of ``look``; no images when nothing is to be looked for yet.
    look : callable
        :func:`~src_core.io.preview.preview`, or another one of its kind.
    background : callable, optional
        That of the window.
    """

    def __init__(
        self,
        values: Callable[[], dict[str, object]],
        look: Callable[..., Preview] = preview,
        parent: QWidget | None = None,
        background: Run = run_in_background,
    ) -> None:
        super().__init__(parent)
        self._values = values
        self._look, self._background = look, background
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

        self._background(lambda: self._look(**values), done, failed)
