"""The joints of a posed person in three dimensions.

Body axes, in statures: x towards the person's left, y down (0 at the crown, 1 at the sole), z to the front.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from scing_cli.core.synthetic.dice import around, between, chance, pick
from scing_cli.core.synthetic.lifelike.noise import Floats
from scing_cli.core.synthetic.people import Build

ANKLE, SOLE = 0.957, 0.985  # heights of ankle and shoe's middle
UPPER_ARM, FOREARM, HAND = 0.165, 0.145, 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Posture:
    """How a person stands or walks; angles in radians.

    Args:
        yaw: Turn from the camera: 0 front, pi back.
        stride: Half the angle between the legs.
        phase: Phase of the step.
        swing: Swing of each arm (left, right), towards the front.
        splay: Angle of each upper arm from the body.
        bend: Bend of each elbow.
        lean: Tilt of the trunk, towards the front and towards the left.
        twist: Turn of the shoulders against the hips.
        nod: Tilt of the head to the front, and its turn.
    """

    yaw: float
    stride: float
    phase: float
    swing: tuple[float, float]
    splay: tuple[float, float]
    bend: tuple[float, float]
    lean: tuple[float, float]
    twist: float
    nod: tuple[float, float]


def draw_posture(rng: np.random.Generator, yaw: float) -> Posture:
    """Return a random posture of somebody who walks, or stands, turned by `yaw`."""
    walks = chance(rng, 0.75)
    stride, phase = between(rng, 0.15, 0.5) if walks else between(rng, 0.0, 0.09), between(rng, 0, 2 * math.pi)
    arms = [_draw_arm(rng, side, stride, phase) for side in (1, -1)]
    swing, splay, bend = zip(*arms, strict=True)
    return Posture(
        yaw=yaw,
        stride=stride,
        phase=phase,
        swing=swing,
        splay=splay,
        bend=bend,
        lean=(around(rng, 0.04, 0.05), around(rng, 0.0, 0.03)),
        twist=around(rng, 0.0, 0.1),
        nod=(around(rng, 0.1, 0.16), around(rng, 0.0, 0.3)),
    )


def _draw_arm(rng: np.random.Generator, side: int, stride: float, phase: float) -> tuple[float, float, float]:
    """Return swing, splay and bend: hanging, carrying, in a pocket, at the head, or in front of the chest."""
    kind = pick(rng, ("hanging",) * 6 + ("carrying", "pocket", "head", "front"))
    swing = -side * math.sin(phase) * stride * between(rng, 0.4, 1.1)
    if kind == "pocket":
        return (around(rng, -0.25, 0.1), between(rng, 0.2, 0.45), between(rng, 0.6, 1.1))
    if kind == "head":
        return (between(rng, 0.3, 1.0), between(rng, 0.1, 0.6), between(rng, 1.9, 2.5))
    if kind == "front":
        return (between(rng, 0.1, 0.6), between(rng, 0.0, 0.3), between(rng, 1.1, 1.9))
    if kind == "carrying":
        return (swing * 0.2, between(rng, 0.05, 0.15), between(rng, 0.0, 0.3))
    return (swing, between(rng, 0.05, 0.25), between(rng, 0.05, 0.6))


class Skeleton:
    """The joints of a person.

    Args:
        build: Proportions.
        posture: How the person stands.

    Attributes:
        pelvis, chest, neck, head: Points (3,); `chest` is between the shoulders, `head` the middle of the skull.
        arms, legs: For the left and the right side, three points (3, 3): from the body outwards.
        trunk: (3, 3), the axes of the shoulders as rows: left, down, front.
        skull: The same of the head.
    """

    def __init__(self, build: Build, posture: Posture) -> None:
        self.build, self.posture = build, posture
        hip, shoulder = build.hip_height, build.head + 0.042
        dip = 0.03 * posture.stride * (1 - math.cos(2 * posture.phase)) * 0.5  # the body sinks at the widest step
        self.pelvis = _point(0, hip + dip, 0)
        self.trunk = _turned(*posture.lean, posture.twist)
        length = hip - shoulder
        self.chest = self.pelvis - self.trunk[1] * length
        self.neck = self.chest - self.trunk[1] * 0.03
        self.skull = _turned(posture.nod[0] + posture.lean[0], posture.lean[1], posture.nod[1] + posture.twist)
        self.head = self.neck - self.skull[1] * (build.head * 0.5 + 0.012) + self.skull[2] * 0.012
        self.arms = tuple(self._arm(side) for side in (1, -1))
        self.legs = tuple(self._leg(side) for side in (1, -1))

    def _arm(self, side: int) -> Floats:
        row = 0 if side > 0 else 1
        swing, splay, bend = self.posture.swing[row], self.posture.splay[row], self.posture.bend[row]
        left, down, front = self.trunk
        start = self.chest + left * side * (self.build.shoulders - 0.016) + down * 0.022
        upper = down * math.cos(swing) * math.cos(splay) + front * math.sin(swing) + left * side * math.sin(splay)
        upper /= np.linalg.norm(upper)
        elbow = start + upper * UPPER_ARM
        lower = (
            down * math.cos(swing + bend)
            + front * math.sin(swing + bend)
            + left * side * (math.sin(splay) * 0.4 - 0.3 * math.sin(bend) * (bend > 0.9))
        )
        wrist = elbow + lower / np.linalg.norm(lower) * FOREARM
        return np.stack([start, elbow, wrist]).astype(np.float32)

    def _leg(self, side: int) -> Floats:
        thigh = shank = (ANKLE - self.build.hip_height) / 2
        stride, phase = self.posture.stride, self.posture.phase
        swing = side * math.sin(phase) * stride
        flex = max(0.0, math.cos(phase) * side) * stride * 1.5 + 0.05
        across = side * self.build.hips * 0.5
        start = self.pelvis + _point(across, 0, 0)
        knee = start + _point(0, thigh * math.cos(swing), thigh * math.sin(swing))
        ankle = knee + _point(-across * 0.12, shank * math.cos(swing - flex), shank * math.sin(swing - flex))
        return np.stack([start, knee, ankle]).astype(np.float32)


def _point(x: float, y: float, z: float) -> Floats:
    return np.array([x, y, z], dtype=np.float32)


def _turned(front: float, left: float, turn: float) -> Floats:
    """Return axes (left, down, front) as rows, leaning to the front and to the left, and turned to the left."""
    cos, sin = math.cos(turn), math.sin(turn)
    about = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    cos, sin = math.cos(front), math.sin(front)
    pitch = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    cos, sin = math.cos(left), math.sin(left)
    roll = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    found: Floats = (about @ pitch @ roll).astype(np.float32)
    return found
