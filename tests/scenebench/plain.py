"""The plain suite: the recipe's scenes, on which carrying the region along is right.

A kind takes (rng, number of the case) and returns (scene, moved objects by index, regions), or None where the drawn scene does not suit.
"""
import math
from edits import MARGIN, SIZE, deformation, free, hinge, radius, rotation, translation
from scenes import KINDS, sample


def single(edit):
    """Returns the kind in which `edit` happens to a random object of a random scene."""
    def kind(rng, _):
        scene = sample(rng, SIZE, kinds=["bar"] if edit is deformation else KINDS)
        i = int(rng.integers(len(scene["objects"])))
        got = edit(rng, scene, i)
        if got is None or not free(scene, got[0], i):
            return None
        return scene, {i: got[0]}, [got[1]]
    return kind


def double(rng, _):
    """Two objects at once: one is moved, the other moved or turned."""
    scene = sample(rng, SIZE, kinds=KINDS)
    i = int(rng.integers(len(scene["objects"])))
    if len(scene["objects"]) < 2:
        return None
    j = (i + 1) % len(scene["objects"])
    first, second = translation(rng, scene, i), (rotation if rng.uniform() < .5 else translation)(rng, scene, j)
    if second is None:
        return None
    (m, r1), (n, r2) = first, second
    if math.hypot(m["x"] - n["x"], m["y"] - n["y"]) < radius(m) + radius(n) + 2 * MARGIN or not free(scene, n, j) or not free(scene, m, i):
        return None
    return scene, {i: m, j: n}, [r1, r2]


PLAIN = {"translation": single(translation), "rotation": single(rotation), "deformation": single(deformation), "hinge": single(hinge), "double": double}
