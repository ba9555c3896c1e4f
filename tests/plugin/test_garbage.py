"""What is set aside from the search for garbage while the widget is open, and that it is taken back."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from napari_metadcseg.garbage import SetAside


def viewer(*layers: str) -> Any:
    return SimpleNamespace(layers=list(layers))


@pytest.fixture(autouse=True)
def nothing_set_aside_before() -> None:
    assert gc.get_freeze_count() == 0


class Cycle:
    def __init__(self) -> None:
        self.me = self


def test_what_is_there_is_searched_again_once_the_last_window_is_closed() -> None:
    garbage = Cycle()
    gone = weakref.ref(garbage)
    first, second = SetAside(viewer()), SetAside(viewer())
    assert gc.get_freeze_count() > 10_000
    del garbage
    gc.collect()
    assert gone() is not None
    first.release()
    first.release()
    assert gc.get_freeze_count() > 10_000
    second.release()
    gc.collect()
    assert gc.get_freeze_count() == 0
    assert gone() is None


def test_layers_of_the_person_are_not_kept_in_memory() -> None:
    held = SetAside(viewer("theirs"))
    assert gc.get_freeze_count() == 0
    held.release()


def test_the_window_sets_aside_and_takes_back(window: Any) -> None:
    assert gc.get_freeze_count() > 10_000
    window.shut_down()
    assert gc.get_freeze_count() == 0
