"""Any sequence of decisions, strokes, undo, redo, exports and kills, against a project that lives in plain arrays."""

from __future__ import annotations

import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from src_core.data.case import Verified
from src_core.store.create import build_project
from src_core.store.export import export
from src_core.store.project import Project
from src_core.store.verify import problems_of
from tests.process.crash_server import CLASSES, SIDE, cases, change

pytestmark = pytest.mark.process

KILLS = 500

places = st.integers(0, SIDE - 1)
boxes = st.tuples(places, places, st.integers(1, 12), st.integers(1, 12)).map(
    lambda box: {"start": box[:2], "stop": (min(SIDE, box[0] + box[2]), min(SIDE, box[1] + box[3]))}
)
aimed = st.builds(
    lambda do, case, label, box: {"do": do, "case": case, "label": label, **box},
    st.sampled_from(["edit", "edit", "accept", "keep", "confirm", "unsure", "skip"]),
    st.sampled_from("ab"),
    st.sampled_from([0, 1, 1, 255]),
    boxes,
)
changes = st.one_of(
    aimed,
    aimed,
    st.just({"do": "undo"}),
    st.just({"do": "redo"}),
    st.builds(lambda case: {"do": "verify_image", "case": case}, st.sampled_from("ab")),
)


@dataclass
class State:
    """A project at one row: label and verified mask of each case, and the decisions."""

    masks: dict[str, tuple[np.ndarray, np.ndarray]]
    decisions: dict[str, str] = field(default_factory=dict)

    def __eq__(self, other):
        same = all(
            np.array_equal(one, another)
            for name in self.masks
            for one, another in zip(self.masks[name], other.masks[name], strict=True)
        )
        return same and self.decisions == other.decisions


class Model:
    """What a project should be, written down a second time and as simply as can be."""

    def __init__(self, made):
        self.given = {case.name: case.given for case in made}
        start = {
            case.name: (case.given, np.zeros_like(case.given)) if case.clean is None
            else (case.clean, self.kinds(case.name, case.clean))
            for case in made
        }  # fmt: skip
        self.done, self.undone = [State(start)], []
        self.rows = sum(case.clean is not None for case in made)

    @property
    def state(self):
        return self.done[-1]

    def kinds(self, name, label):
        given = self.given[name]
        kinds = np.where(label == given, Verified.CONFIRMED, Verified.CORRECTED)
        kinds[(label == given) & (label == 0)] = Verified.BACKGROUND
        kinds[label == 255] = Verified.NO
        return kinds.astype(np.uint8)

    def take(self, what):
        if what["do"] == "undo":
            if len(self.done) > 1:
                self.undone.append(self.done.pop())
                self.rows += 1
        elif what["do"] == "redo":
            if self.undone:
                self.done.append(self.undone.pop())
                self.rows += 1
        elif (new := self.changed(**what)) is not None:
            self.done.append(new)
            self.undone.clear()
            self.rows += 1

    def changed(self, do, case, start=(0, 0), stop=(SIDE, SIDE), label=1):
        new = deepcopy(self.state)
        now, kinds = new.masks[case]
        inside = np.zeros((SIDE, SIDE), bool)
        inside[start[0] : stop[0], start[1] : stop[1]] = True
        vouched = (kinds != Verified.NO) & (kinds != Verified.UNSURE)
        anew = new.decisions.get(f"{case}#{tuple(start)}{tuple(stop)}", "skip") != "skip"
        if do == "edit":
            differs = inside & (now != label)
            if not differs.any():
                return None
            now[inside] = label
            kinds[differs & vouched] = self.kinds(case, now)[differs & vouched]
        elif do == "unsure":
            kinds[inside & ~vouched & (now != 255)] = Verified.UNSURE
        elif do == "verify_image":
            kinds[:] = self.kinds(case, now)
        elif do != "skip":
            if do == "accept":
                inside &= (label != 255) & (anew | ~vouched)
                now[inside] = label
            elif do == "keep":
                inside &= (now != 255) & (anew | ~vouched)
            else:
                inside |= (now != self.given[case]) & ~vouched
            kinds[inside] = self.kinds(case, now)[inside]
        if do not in ("edit", "verify_image"):
            new.decisions[f"{case}#{tuple(start)}{tuple(stop)}"] = do
        return new


class Machine(RuleBasedStateMachine):
    """Set by the test: the server and a folder in memory."""

    server = None
    root = Path()

    @initialize(seed=st.integers(0, 3))
    def begin(self, seed):
        self.folder = Path(tempfile.mkdtemp(dir=self.root))
        self.path = self.folder / "p.metadcseg"
        made = cases("ab", seed)
        self.model = Model(made)
        self.project = build_project(self.path, made, CLASSES)

    def teardown(self):
        if hasattr(self, "project"):
            assert problems_of(self.project) == []
            self.project.close()
            shutil.rmtree(self.folder)

    def check(self):
        masks = {case.name: self.project.read_labels(case) for case in self.project.cases}
        assert State(masks, self.project.decisions()) == self.model.state
        assert self.project.version() == (self.model.rows, self.model.rows)
        undo, redo = self.project._ledger.stacks()
        assert (len(undo), len(redo)) == (len(self.model.done) - 1, len(self.model.undone))

    # ---------------------------------------------------------------- rules

    @rule(what=changes)
    def change(self, what):
        change(self.project, what)
        self.model.take(what)
        self.check()

    @rule(read=st.booleans())
    def reopen(self, read):
        self.project.close()
        if read:
            with Project.open(self.path) as project:
                assert problems_of(project) == []
        self.project = Project.open(self.path, write=True)
        self.check()

    @rule(before=st.integers(1, 40))
    def export(self, before):
        out = self.folder / "out"
        self.server("export", self.path, out=str(out), kill_before=before)
        written = export(self.project, out, ["cleaned"], "npy")
        for path in written:
            told = np.where(self.model.state.masks[path.stem][0] == 1, 255, 0)
            assert np.array_equal(np.load(path), told)
        assert sorted((out / "cleaned").iterdir()) == sorted(written)

    @rule(
        sequence=st.lists(changes, min_size=1, max_size=3), before=st.integers(1, 45), batch=st.sampled_from([1, 2, 32])
    )
    def crash(self, sequence, before, batch):
        self.project.close()
        ended = self.server("change", self.path, changes=sequence, kill_before=before, batch=batch)
        for what in sequence[: ended["said"]]:
            self.model.take(what)
        self.project = Project.open(self.path, write=True)
        if self.project.version()[0] > self.model.rows:  # recorded, and killed before it could say so
            self.model.take(sequence[ended["said"]])
        self.check()

    @rule(sequence=st.lists(changes, min_size=1, max_size=2), before=st.integers(8, 45))
    def crash_again(self, sequence, before):
        self.crash(sequence, before, 1)

    @rule(before=st.integers(1, 40))
    def crash_while_turning_back(self, before):
        self.crash([{"do": "undo"}, {"do": "redo"}, {"do": "undo"}], before, 2)

    @rule(before=st.integers(1, 40))
    def crash_while_opening_after_a_crash(self, before):
        self.project.close()
        self.server("change", self.path, changes=[], kill_before=before)
        self.project = Project.open(self.path, write=True)
        self.check()


def test_any_sequence_with_five_hundred_kills(server, quick_folder):
    Machine.server, Machine.root = server, quick_folder
    before = server.kills
    quick = settings(
        max_examples=15, stateful_step_count=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    while server.kills - before < KILLS:
        run_state_machine_as_test(Machine, settings=quick)
