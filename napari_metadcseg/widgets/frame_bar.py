"""The line that says which part of a large image can be edited; hidden for all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame, QHBoxLayout

from napari_metadcseg.widgets.parts import button, text

if TYPE_CHECKING:
    from napari_metadcseg.keybindings import KeyTable
    from napari_metadcseg.layers.scene import Scene

MAKING = " What is seen from afar is still being made, once; it fills in by itself."


class FrameBar(QFrame):
    """Says what the frame is for, and moves it."""

    def __init__(self, scene: Scene, keys: KeyTable) -> None:
        super().__init__()
        self._scene, self._key = scene, ""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        self.label = text()
        self.label.setObjectName("framed")
        self.button = button("", "", scene.edit_here, "edit_here")
        layout.addWidget(self.label, 1)
        layout.addWidget(self.button)
        self.show_keys(keys)
        self.show_frame()

    def show_keys(self, keys: KeyTable) -> None:
        """Write the key on the button and into the words."""
        self._key = keys.of("edit_here")
        self.button.setText(f"Edit here ({self._key})")
        self.button.setToolTip(f"Move the frame to the part of the image that is in view. Key: {self._key}")
        self.show_frame()

    def show_frame(self) -> None:
        """Follow the scene."""
        frame = self._scene.frame
        self.setVisible(frame is not None)
        if frame is not None:
            size = " x ".join(f"{edge:,}" for edge in frame.shape)
            words = f"Editing the framed part ({size} px); press {self._key} to edit what you see."
            self.label.setText(words + (MAKING if self._scene.making else ""))
