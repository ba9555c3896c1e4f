"""Before and after: the region in hand under the label as it is, and as the model proposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget
from scipy import ndimage

from src_core.data.case import IGNORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

    from src_core.data.case import ClassInfo

HEIGHT = 108
GAP = 6
TITLES = ("Now", "If accepted")


class Preview(QWidget):
    """Two small pictures side by side; nothing while there is nothing to show.

    Parameters
    ----------
    height : int
        Of the pictures, px.
    titles : tuple of str
        Above them.
    """

    def __init__(self, height: int = HEIGHT, titles: tuple[str, str] = TITLES) -> None:
        super().__init__()
        self._height, self._titles = height, titles
        self._pictures: tuple[QImage, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("The region with its surroundings: outlines of the label now, and after Accept")
        self.setObjectName("preview")

    @property
    def pictures(self) -> tuple[QImage, ...]:
        """What is shown: before and after."""
        return self._pictures

    def sizeHint(self) -> QSize:
        """Preferred size."""
        return QSize(2 * self._height, self._height + self.fontMetrics().height() if self._pictures else 0)

    def show_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        """Show other pictures, RGB uint8 of equal size; none to be empty."""
        self._pictures = tuple(_as_image(picture) for picture in pictures)
        self.setVisible(bool(self._pictures))
        self.updateGeometry()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the pictures with their titles, as large as they fit."""
        if not self._pictures:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        line = self.fontMetrics().height()
        width = (self.width() - GAP) / 2
        for place, (picture, title) in enumerate(zip(self._pictures, self._titles, strict=True)):
            frame = QRectF(place * (width + GAP), line, width, self.height() - line)
            painter.setPen(self.palette().windowText().color())
            painter.drawText(QRectF(frame.x(), 0, width, line), Qt.AlignmentFlag.AlignCenter, title)
            scale = min(frame.width() / picture.width(), frame.height() / picture.height())
            size = picture.width() * scale, picture.height() * scale
            corner = frame.center().x() - size[0] / 2, frame.center().y() - size[1] / 2
            painter.drawImage(QRectF(*corner, *size), picture)


def outlined(
    image: NDArray[Any], label: NDArray[np.uint8], region: NDArray[np.bool_], classes: Sequence[ClassInfo]
) -> NDArray[np.uint8]:
    """A picture of an image with the outlines of a label, dimmed outside of a region.

    Parameters
    ----------
    image : array, (H, W) or (H, W, 3 or more)
        Stretched to its own 1st and 99th percentile.
    label : array, uint8, (H, W)
    region : array, bool, (H, W)
    classes : sequence of ClassInfo
        Whose colours the outlines have.

    Returns
    -------
    array, uint8, (H, W, 3)
    """
    grey = image[..., :3].astype(np.float64) if image.ndim == 3 and image.shape[2] >= 3 else image.astype(np.float64)
    grey = grey[..., 0] if grey.ndim == 3 and grey.shape[2] < 3 else grey
    low, high = np.percentile(grey, (1, 99))
    picture = np.clip((grey - low) / max(high - low, 1e-9), 0, 1)
    picture = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    picture = picture * np.where(region, 1.0, 0.7)[..., None]
    for info in classes:
        if info.index in (0, IGNORE):
            continue
        mask = label == info.index
        edge = mask & ~ndimage.binary_erosion(mask)
        color = QColor(info.color)
        picture[edge] = (color.redF(), color.greenF(), color.blueF())
    return (picture * 255).astype(np.uint8)


def _as_image(picture: NDArray[np.uint8]) -> QImage:
    height, width, _ = picture.shape
    data = np.ascontiguousarray(picture)
    return QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
