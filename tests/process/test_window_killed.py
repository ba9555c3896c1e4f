"""kill -9 of napari right after a fix was confirmed: the fix is there on reopening."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from src_core.data.case import Verified
from src_core.store.project import Project
from tests.plugin.test_controller_logic import add_scores

pytestmark = [pytest.mark.process, pytest.mark.gui]

CHILD = """
import sys
import napari
import numpy as np
from napari_metadcseg.app import dock

viewer = napari.Viewer()
widget = dock(viewer)
widget.open_project(sys.argv[1])
controller = widget.controller
layer = widget.scene.label_layer
rows, columns = np.mgrid[4:9, 5:11]
layer.data_setitem((rows.ravel(), columns.ravel()), 1 - np.asarray(layer.data)[4:9, 5:11].ravel())
name = controller.case.name
controller.changed.connect(lambda new, old: "confirmed" in new.review.last and print(name, flush=True))
controller.confirm()
napari.run()
"""


def test_a_confirmed_fix_survives(make_project, phantoms):
    path = make_project()
    add_scores(path, {slice_.name: slice_.truth for slice_ in phantoms})
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    name = process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()
    with Project.open(path, write=True) as project:
        case = project.case(name)
        box = np.s_[4:9, 5:11]
        assert (project.read_label(case)[box] != project.read_given(case)[box]).all()
        assert (project.read_verified(case)[box] == Verified.CORRECTED).all()
        assert [row.action for row in project.history(2)] == ["confirm", "edit"]
        project.undo()  # and can still be turned back
        assert (project.read_verified(case)[box] == Verified.NO).all()
