"""Where training computes: the devices of this machine, and a Dask scheduler elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLineEdit

from src_core.worker.probe import DeviceInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

ELSEWHERE = "Elsewhere (Dask scheduler)…"


class Places(QComboBox):
    """Devices by name, and at the end *elsewhere*, which asks for an address.

    Attributes
    ----------
    address : QLineEdit
        Shown beside it while elsewhere is chosen.
    """

    address_given = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("What computes: a GPU where there is one, else the processor, less one core for napari")
        self.address = QLineEdit()
        self.address.setObjectName("scheduler-address")
        self.address.setPlaceholderText("HOST:8786")
        self.address.setToolTip(
            "Address of the Dask scheduler, as it prints it when it starts; the project must lie on a disk that its "
            "workers share with you"
        )
        self.address.editingFinished.connect(lambda: self.address_given.emit(self.address.text().strip()))
        self._devices: tuple[DeviceInfo, ...] = ()
        self.addItem(ELSEWHERE)
        self.setItemData(0, "A worker of a Dask cluster trains, all of its workers score", Qt.ItemDataRole.ToolTipRole)

    @property
    def is_elsewhere(self) -> bool:
        """True while no device of this machine is chosen."""
        return self.currentIndex() == len(self._devices)

    def show_devices(self, devices: Sequence[DeviceInfo]) -> None:
        """Offer these devices; the choice stays where it still exists."""
        if tuple(devices) == self._devices:
            return
        before, elsewhere = self.place(), self.is_elsewhere and bool(self._devices)
        while self.count() > 1:
            self.removeItem(0)
        self._devices = tuple(devices)
        self.insertItems(0, [device.name for device in devices])
        there = devices.index(before) if before in devices else 0
        self.setCurrentIndex(len(devices) if elsewhere else there)

    def place(self) -> DeviceInfo | None:
        """What is chosen; None before the devices are known."""
        if not self._devices:
            return None
        if self.is_elsewhere:
            return DeviceInfo("auto", None, ELSEWHERE, scheduler=self.address.text().strip())
        return self._devices[self.currentIndex()]
