"""Planted mask errors: what annotators do wrong, made on purpose, so that finding it can be measured.

Masks only; images stay as they are. ``ratio`` is one minus the Dice overlap that a corrupted mask is meant to
have with the true one ("40 % noise" is a Dice of 0.6), or, where a recipe has no target overlap, what the table
says. All recipes take 2-D and 3-D label images (``slices`` 3-D only) with any number of classes.

================ ================================================================================ ==============
recipe           what happens                                                                     ratio
================ ================================================================================ ==============
``quality``      grow, shrink, or replace by an ellipse, to a Dice drawn around the target (R1')  1 - mean Dice
``offset``       the outline is moved evenly out or in by a drawn number of pixels (R2)           not used
``markov``       the rim is flipped at random, step by step, until the target is reached (R3)     1 - Dice
``affine``       turned by up to 30 degrees, then shifted in one of 8 directions (R4)             1 - Dice
``elastic``      bent by a smooth random displacement (R5)                                        1 - Dice
``contour-dots`` grown, shrunk, or discs painted along the outline (R6)                           1 - Dice
``adele``        brought to 1000 px, grown or shrunk by 2 to 4 px there, brought back (R7)        not used
``class-flips``  objects of the wrong class; labels exchanged where two classes touch (R8)        chance of each
``instances``    objects are lost, false ones are added (R9)                                      chance of each
``slices``       a block of slices is drawn too small, or not at all (R10)                        share of slices
``biased``       annotators with habits: one draws too much, one too little, one is sloppy (R11)  1 - mean Dice
================ ================================================================================ ==============

Which part of a recipe changed a pixel is kept, see `Origin`. Sources: Yao et al., ICLR 2023 (``offset``,
``markov``), Zhang et al., MICCAI 2020 (``contour-dots``), Liu et al., CVPR 2022 (``adele``); the others are
described in docs/method.md.
"""

from __future__ import annotations

from src_core.data.noise.boundary import adele, contour_dots, markov, offset
from src_core.data.noise.build import RECIPES, Recipe, corrupt, corrupted
from src_core.data.noise.flips import flip_objects, iid_flips, swap_borders
from src_core.data.noise.habits import ANNOTATORS, annotator_of
from src_core.data.noise.levels import NoiseLevels, noise_levels
from src_core.data.noise.moved import affine, elastic
from src_core.data.noise.objects import drop_and_add, place_by_intensity
from src_core.data.noise.record import Corruption, NoiseOptions, Origin
from src_core.data.noise.shapes import ellipse, grow_or_shrink, overlap
from src_core.data.noise.slices import slice_block

__all__ = [
    "ANNOTATORS",
    "RECIPES",
    "Corruption",
    "NoiseLevels",
    "NoiseOptions",
    "Origin",
    "Recipe",
    "adele",
    "affine",
    "annotator_of",
    "contour_dots",
    "corrupt",
    "corrupted",
    "drop_and_add",
    "elastic",
    "ellipse",
    "flip_objects",
    "grow_or_shrink",
    "iid_flips",
    "markov",
    "noise_levels",
    "offset",
    "overlap",
    "place_by_intensity",
    "slice_block",
    "swap_borders",
]
