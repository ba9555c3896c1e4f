"""Generated slices with exactly known masks, for samples, the demo and tests.

Not a simulation of any scanner: soft tissue with an organ of irregular outline, vessels and neighbours of similar
brightness, a bias field, and noise. Thresholding does not solve them, a small network does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Phantom(NamedTuple):
    """A generated slice.

    Attributes
    ----------
    name : str
    image : array, uint8, (H, W)
    truth : array, uint8, (H, W)
        Class index: 0 background, 1 organ, 2 lesion in the organ (with three classes).
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]


def _blob(
    rng: np.random.Generator,
    shape: tuple[int, int],
    center: tuple[float, float],
    radius: float,
    roughness: float,
) -> NDArray[np.float64]:
    """Signed level of a smooth closed outline: positive inside; about 1 / px steep at its edge."""
    y, x = np.indices(shape, dtype=np.float64)
    stretch = rng.uniform(0.7, 1.0)
    turn = rng.uniform(0, np.pi)
    dy, dx = y - center[0], x - center[1]
    u = dy * np.cos(turn) + dx * np.sin(turn)
    v = (-dy * np.sin(turn) + dx * np.cos(turn)) / stretch
    angle = np.arctan2(v, u)
    outline = np.ones_like(angle)
    for order in range(2, 6):
        outline += roughness / order * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    level: NDArray[np.float64] = radius * outline - np.hypot(u, v)
    return level


def _texture(rng: np.random.Generator, shape: tuple[int, int], grain: float) -> NDArray[np.float64]:
    """Smooth noise of zero mean and unit spread."""
    values = ndimage.gaussian_filter(rng.normal(size=shape), grain, mode="reflect")
    result: NDArray[np.float64] = (values - values.mean()) / values.std()
    return result


def _soft(level: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(level / width, -30, 30)))


def phantom(
    rng: np.random.Generator, shape: tuple[int, int] = (128, 128), classes: int = 2
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Generate one slice.

    Parameters
    ----------
    rng : Generator
    shape : tuple of int
        Height and width, px; 48 or more each looks right.
    classes : int
        2 (organ) or 3 (organ and lesion).

    Returns
    -------
    image, truth : array, uint8, (H, W)
    """
    size = min(shape)
    middle = shape[0] / 2, shape[1] / 2
    body = _blob(rng, shape, middle, 0.47 * size, 0.04)
    image = 0.08 + 0.34 * _soft(body, 1.5) + 0.035 * _texture(rng, shape, 0.05 * size) * (body > 0)
    rim = np.exp(-(((body - 0.03 * size) / (0.02 * size)) ** 2))
    image += 0.25 * rim
    for _ in range(int(rng.integers(2, 5))):
        angle = rng.uniform(0, 2 * np.pi)
        far = rng.uniform(0.2, 0.36) * size
        place = middle[0] + far * np.sin(angle), middle[1] + far * np.cos(angle)
        neighbour = _blob(rng, shape, place, rng.uniform(0.04, 0.1) * size, 0.2)
        inside = _soft(neighbour, 1.2) * (body > 0)
        image += (rng.choice([-0.16, 0.12, 0.2]) + 0.02 * _texture(rng, shape, 2)) * inside
    place = middle[0] + rng.uniform(-0.1, 0.1) * size, middle[1] + rng.uniform(-0.1, 0.1) * size
    organ = _blob(rng, shape, place, rng.uniform(0.15, 0.22) * size, 0.22)
    inside = _soft(organ, 1.0)
    tissue = 0.62 + rng.uniform(-0.03, 0.03) + 0.045 * _texture(rng, shape, 2.0)
    image = image * (1 - inside) + tissue * inside
    truth = (organ > 0).astype(np.uint8)
    if classes > 2:
        offset = rng.uniform(-0.06, 0.06, 2) * size
        spot = np.minimum(_blob(rng, shape, (place[0] + offset[0], place[1] + offset[1]), 0.07 * size, 0.2), organ)
        image += 0.2 * _soft(spot, 1.0)
        truth[spot > 0] = 2
    bias = 1 + 0.16 * _texture(rng, shape, 0.35 * size)
    image = np.clip(image * bias, 0, None) + rng.normal(0, 0.035, shape)
    return (255 * np.clip(image, 0, 1)).astype(np.uint8), truth


def phantom_set(seed: int, count: int, shape: tuple[int, int] = (128, 128), classes: int = 2) -> list[Phantom]:
    """Generate a set; the same seed gives the same slices, and the first ones do not depend on ``count``."""
    slices = []
    for index in range(count):
        image, truth = phantom(np.random.default_rng([seed, index]), shape, classes)
        slices.append(Phantom(f"slice_{index + 1:02d}", image, truth))
    return slices
