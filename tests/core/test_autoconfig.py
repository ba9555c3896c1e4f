"""Settings that fit images and machine: each rule by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src_core.cli import main
from src_core.config import PRESETS, TrainingSettings, changed_settings, preset
from src_core.config_fields import GROUPS, setting_fields
from src_core.store.project import Project
from src_core.train import autoconfig
from src_core.train.autoconfig import (
    MachineFacts,
    ProjectFacts,
    memory,
    project_facts,
    seconds,
    suggest,
    time_words,
    units,
)
from src_core.train.structures import edges_of

BASE = PRESETS["standard"]
FACTS = ProjectFacts(
    images=20, verified_images=6, axes=2, longest=200, structure=20.0, foreground=0.05, seconds_a_unit=None
)
MACHINE = MachineFacts(memory=64 * 10**9, gpu=False, speed=autoconfig.REFERENCE)


def reasons(suggestion):
    return {choice.name: (choice.value, choice.why) for choice in suggestion.choices}


def test_images_that_fit_are_used_as_they_are():
    found = suggest(FACTS, MACHINE, BASE)
    assert found.settings == BASE
    assert "at most 200 px and are used as they are" in reasons(found)["max_side"][1]


@pytest.mark.parametrize(
    ("structure", "longest", "side"),
    [(40.0, 1024, 256), (20.0, 1024, 416), (4.0, 1024, 512), (4.0, 300, 320), (None, 1024, 256)],
)
def test_small_structures_are_not_shrunk_away(structure, longest, side):
    """8 px of 20 in 1024 need 409.6 px, which is 416 in steps of 32; at most twice the preset, or the image."""
    found = suggest(replace(FACTS, structure=structure, longest=longest), MACHINE, BASE)
    assert found.settings.max_side == side
    assert str(longest) in reasons(found)["max_side"][1]


@pytest.mark.parametrize(("longest", "patch"), [(200, 160), (160, 160), (159, 144), (50, 48), (20, 32)])
def test_crops_are_not_larger_than_images(longest, patch):
    assert suggest(replace(FACTS, longest=longest), MACHINE, BASE).settings.patch_size == patch


def test_little_memory_takes_crops_first_then_channels():
    need = memory(BASE, 2)
    half = suggest(FACTS, replace(MACHINE, memory=int(need)), BASE).settings
    assert (half.batch_size, half.meta_batch_size, half.base_width) == (2, 2, BASE.base_width)
    quarter = suggest(FACTS, replace(MACHINE, memory=int(need / 2)), BASE)
    assert (quarter.settings.batch_size, quarter.settings.base_width) == (2, 8)
    assert "of memory are free" in reasons(quarter)["base_width"][1]
    assert suggest(FACTS, replace(MACHINE, memory=None), BASE).settings == BASE


@given(
    longest=st.integers(1, 20_000),
    structure=st.none() | st.floats(1, 5000),
    free=st.none() | st.integers(0, 10**12),
    axes=st.sampled_from([2, 3]),
    name=st.sampled_from(sorted(PRESETS)),
)
def test_whatever_the_data_the_settings_are_valid_and_explained(longest, structure, free, axes, name):
    facts = replace(FACTS, longest=longest, structure=structure, axes=axes)
    found = suggest(facts, replace(MACHINE, memory=free), PRESETS[name])
    assert isinstance(found.settings, TrainingSettings)
    explained = {choice.name for choice in found.choices}
    assert set(changed_settings(found.settings)) <= explained
    assert all(choice.why.endswith(".") for choice in found.choices)
    assert seconds(found.settings, facts, MACHINE) > 0


def test_few_verified_images_are_pointed_out():
    assert any("from 4 on" in note for note in suggest(replace(FACTS, verified_images=3), MACHINE, BASE).notes)
    assert not any("from 4 on" in note for note in suggest(FACTS, MACHINE, BASE).notes)


# ------------------------------------------------------------------ time


def test_time_grows_with_work_and_falls_with_speed():
    plain = seconds(BASE, replace(FACTS, images=0), MACHINE)
    assert plain == pytest.approx(2000 * 8 * 160**2 * 24 * autoconfig.SECONDS_A_UNIT)
    assert seconds(BASE, replace(FACTS, images=0), replace(MACHINE, speed=2 * MACHINE.speed)) == pytest.approx(
        plain / 2
    )
    measured = replace(FACTS, images=0, seconds_a_unit=1.0 / units(BASE))
    assert seconds(BASE, measured, MACHINE) == pytest.approx(2000)
    assert seconds(BASE, FACTS, replace(MACHINE, gpu=True)) is None
    assert seconds(BASE, measured, replace(MACHINE, gpu=True)) == pytest.approx(2000)


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (10, "under a minute"),
        (60, "about a minute"),
        (200, "2 to 5 minutes"),
        (7200, "1 to 3 hours"),
        (20_000, "4 to 8 hours"),
        (None, "time depends on the GPU"),
    ],
)
def test_times_in_words(estimate, words):
    assert time_words(estimate) == words


# ------------------------------------------------------------------ facts of a project


def test_facts_are_read_from_images_and_runs(make_project, tiny):
    path = make_project(5, trusted=3)
    folder = path / "runs" / "run-001"
    folder.mkdir(parents=True)
    settings = tiny()
    record = {"run": "run-001", "started": "2026-01-01T00:00:00+00:00", "settings": json.loads(settings.to_json())}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "history.jsonl").write_text(json.dumps({"epoch": 1, "seconds_per_step": 2.0}) + "\n")
    with Project.open(path) as project:
        found = project_facts(project)
        labels = [project.read_label(case) for case in project.cases]
    assert (found.images, found.verified_images, found.axes, found.longest) == (5, 3, 2, 64)
    assert found.foreground == pytest.approx(np.mean([label == 1 for label in labels]))
    assert found.seconds_a_unit == pytest.approx(2.0 / (4 * 32**2 * 8))
    assert 0 < found.structure <= 64


def test_structures_are_measured_by_their_area():
    label = np.zeros((40, 40), np.uint8)
    label[1:5, 1:5], label[10:20, 10:20], label[30, 30], label[35:, 35:] = 1, 2, 1, 255
    assert sorted(edges_of(label)) == [4.0, 10.0]


# ------------------------------------------------------------------ the command and the form


def test_a_run_is_trained_again_from_its_record_alone(make_project, tiny, tmp_path, capsys):
    path = make_project(4, trusted=2)
    record = tmp_path / "run.json"
    record.write_text(json.dumps({"run": "x", "settings": json.loads(tiny(epochs=1, seed=5).to_json())}))
    for _ in range(2):
        assert main(["train", str(path), "--settings", str(record)]) == 0
    assert main(["train", str(path), "--settings", str(record), "--epochs", "2", "--run", "longer"]) == 0
    with Project.open(path) as project:
        first, second, longer = (project.run(name, scored=False) for name in ("run-001", "run-002", "longer"))
    assert first.settings() == second.settings() == tiny(epochs=1, seed=5)
    assert longer.settings() == tiny(epochs=2, seed=5)
    assert [row["loss"] for row in first.history()] == [row["loss"] for row in second.history()]
    capsys.readouterr()
    assert main(["train", str(path), "--settings", str(record), "--preset", "quick"]) == 2
    assert "leave out --preset" in capsys.readouterr().err
    record.write_text("{")
    assert main(["train", str(path), "--settings", str(record)]) == 2
    assert "cannot be read as settings" in capsys.readouterr().err


def test_every_setting_stands_in_one_group():
    names = [field.name for field in setting_fields()]
    assert sorted(names) == sorted(set(vars(preset("quick"))) - {"preset"})
    assert sorted(name for members in GROUPS.values() for name in members) == sorted(names)
