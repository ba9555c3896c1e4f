"""Sections that other parts add to a report: a text, figures by name, a table.

A contributor looks at the project and the run and returns its section, or None when it has nothing to tell. It is added
to :data:`src_core.report.contributors.SECTIONS`, or given to :func:`~src_core.report.write.write_report`; page and JSON
show every section alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from src_core.store.project import Project
from src_core.store.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section.

    Attributes
    ----------
    key : str
        Its name in the JSON; never changed once it was given.
    title : str
    text : str
        One or two plain sentences: what is counted, and what it means.
    facts : mapping of str to value
        Figures by what they are, in words that a reader knows.
    columns : sequence of str
        Head of a table; empty when there is none.
    rows : sequence of sequence of value
        As many values each as there are columns.
    """

    key: str
    title: str
    text: str = ""
    facts: Mapping[str, Value] = field(default_factory=dict)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Value]] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the key is left to whoever collects sections."""
        return {
            "title": self.title,
            "text": self.text,
            "facts": dict(self.facts),
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
        }


Contributor = Callable[[Project, Run | None], Section | None]


def collect(project: Project, run: Run | None, contributors: Sequence[Contributor]) -> tuple[Section, ...]:
    """The sections that there are, in the order of their contributors."""
    found = (contribute(project, run) for contribute in contributors)
    return tuple(section for section in found if section is not None)
