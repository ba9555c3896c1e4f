"""Score maps as they are shown: what was verified since is trusted. No Qt here; may be used in another thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from src_core.data.case import IGNORE, is_verified
from src_core.errors import MetaDCSegError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from src_core.data.case import Box, CaseInfo
    from src_core.store.project import Project
    from src_core.store.runs import Run

logger = logging.getLogger(__name__)


def read_shown(project: Project, run: Run, case: CaseInfo, name: str, box: Box | None = None) -> NDArray[Any] | None:
    """A score map of an image, or a box of it; None when there is none.

    What is verified since is trusted; so is what has no label in an image that came without a mask.
    """
    try:
        values = run.read_map(case.id, name, box)
    except MetaDCSegError:
        logger.info("No %s map of %s.", name, case.name)
        return None
    if name != "trust":
        return values
    if case.without_mask:
        label, verified = project.read_labels(case, box)
        values[is_verified(verified) | (label == IGNORE)] = 1
    else:
        values[is_verified(project.read_verified(case, box))] = 1
    return values
