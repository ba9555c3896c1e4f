"""The dialog that adds images to a project."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox

from napari_metadcseg.background import run_in_background
from napari_metadcseg.widgets.found_panel import WITHOUT_MASK, FoundPanel
from napari_metadcseg.widgets.pairs_dialog import PairsDialog
from src_core.io.preview import preview_addition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_metadcseg.background import Run
    from src_core.data.case import CaseInfo
    from src_core.io.additions import Expected


class AddImagesDialog(PairsDialog):
    """Asks for images and masks. What is found is shown, problems are listed, and nothing is added then.

    Parameters
    ----------
    expected : Expected
        What the project has.
    background : callable, optional
        That of the window.
    """

    def __init__(self, expected: Expected, parent: QWidget | None = None, background: Run = run_in_background) -> None:
        classes = ", ".join(f"{info.name} ({info.value})" for info in expected.table.classes)
        words = (
            f"The masks have the classes and values of the project: {classes}. All images are added, or none of them. "
            "Your files are only read."
        )
        super().__init__(f"Add images to {expected.project}", words, "Add images", parent)
        self.skip = QCheckBox("Leave out images that the project has by name")
        self.skip.setToolTip("Otherwise nothing is added when there is one")
        self.form.addRow("", self.unlabelled)
        self.form.addRow("", self.skip)
        found = FoundPanel(self._looked_for, partial(preview_addition, expected), background=background)
        self._show_found(found, self.skip.toggled)

    def missing(self) -> str:
        """What is still to be filled in, in words; empty when nothing is."""
        if not self.images.path:
            return "Please choose images."
        return "" if self.has_masks else f"Please choose masks, or tick '{WITHOUT_MASK}'."

    def _looked_for(self) -> dict[str, object]:
        return self.values() if not self.missing() else {}

    def values(self) -> dict[str, object]:
        """Arguments of :meth:`~src_core.store.add.Addition.write_from`."""
        return {**super().values(), "skip_existing": self.skip.isChecked()}


def added_text(added: Sequence[CaseInfo], existing: Sequence[str]) -> str:
    """What was added, in words."""
    without = sum(case.without_mask for case in added)
    words = f"Added {len(added)} image{'s' * (len(added) != 1)}"
    words += f", {without} of them without a mask" if without else ""
    words += f"; {len(existing)} {'were' if len(existing) != 1 else 'was'} there already" if existing else ""
    return words + "."
