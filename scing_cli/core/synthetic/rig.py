"""The joints of a posed person, and their projection on the picture.

Body axes, in statures: `side` (towards the person's left), `down` (0 at the crown, 1 at the sole) and `front`. The
camera looks slightly down, so that nearer points are projected lower.
"""

from __future__ import annotations

import dataclasses
import functools
import math

from scing_cli.core.synthetic.canvas import Point
from scing_cli.core.synthetic.people import Build, Person

ANKLE = 0.955  # statures from the crown


@dataclasses.dataclass(frozen=True, slots=True)
class Pose:
    """How a person stands.

    Args:
        yaw: Turn from the camera in radians: 0 front, pi back.
        stride: Half the angle between the legs, in radians; 0 for a person who stands still.
        phase: Phase of the step, in radians.
        bend: Bend of each elbow (left, right), in radians.
        raised: Which arm is raised, for example with a phone: 1 left, -1 right, 0 none.
        lean: Shift of the head to the front, in statures.
    """

    yaw: float
    stride: float
    phase: float
    bend: tuple[float, float]
    raised: int
    lean: float


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where a person stands on the picture.

    Args:
        x: Middle of the body, in pixels.
        top: Height of the crown, in pixels from the top.
        unit: Pixels per stature.
        stretch: Horizontal scale divided by vertical scale, from the resizing of the crop.
        elevation: How much lower nearer points are projected, as a share of their nearness.
    """

    x: float
    top: float
    unit: float
    stretch: float
    elevation: float


@dataclasses.dataclass(frozen=True, slots=True)
class Limb:
    """Three joints on the picture.

    Args:
        joints: Pixels (x, y), from the body outwards.
        near: How much nearer to the camera than the axis of the body the limb is, in statures.
        side: 1 for the left limb, -1 for the right one.
    """

    joints: tuple[Point, Point, Point]
    near: float
    side: int


class Rig:
    """A person with pose and placement: projects points of the body to pixels."""

    def __init__(self, person: Person, pose: Pose, placement: Placement) -> None:
        self.person = person
        self.pose = pose
        self.placement = placement
        self.cos = math.cos(pose.yaw)
        self.sin = math.sin(pose.yaw)
        self.unit = placement.unit
        self._base = placement.top + placement.unit - self.unit

    @property
    def build(self) -> Build:
        """The person's proportions."""
        return self.person.build

    def at(self, side: float, down: float, front: float) -> Point:
        """Return the pixel (x, y) of a body point."""
        x = side * self.cos + front * self.sin
        y = down + self.nearness(side, front) * self.placement.elevation
        return (self.placement.x + x * self.unit * self.placement.stretch, self._base + y * self.unit)

    def nearness(self, side: float, front: float) -> float:
        """Return how much nearer to the camera than the body's axis a point is, in statures."""
        return front * self.cos - side * self.sin

    def width(self, side: float, front: float) -> float:
        """Return the half-width in pixels of an elliptic cross-section with these half-axes (in statures)."""
        return math.hypot(side * self.cos, front * self.sin) * self.unit * self.placement.stretch

    def size(self, length: float) -> float:
        """Return a length, given in statures, in pixels."""
        return length * self.unit

    @property
    def shoulder(self) -> float:
        """Height of the shoulders (in statures from the crown)."""
        return self.build.head + 0.042

    def torso(self, share: float) -> float:
        """Return the height (in statures from the crown) at a share of the way from shoulder (0) to hip (1)."""
        return self.shoulder + share * (self.build.hip_height - self.shoulder)

    @functools.cached_property
    def arms(self) -> tuple[Limb, Limb]:
        """The arms, the farther one first: shoulder, elbow, wrist."""
        return self._ordered(self._arm(1), self._arm(-1))

    @functools.cached_property
    def legs(self) -> tuple[Limb, Limb]:
        """The legs, the farther one first: hip, knee, ankle."""
        return self._ordered(self._leg(1), self._leg(-1))

    @staticmethod
    def _ordered(one: Limb, other: Limb) -> tuple[Limb, Limb]:
        return (one, other) if one.near <= other.near else (other, one)

    def _arm(self, side: int) -> Limb:
        upper, lower = 0.16, 0.15
        swing = -side * math.sin(self.pose.phase) * self.pose.stride * 0.9
        bend = self.pose.bend[0 if side > 0 else 1] + 0.15
        splay = 0.12
        if side == self.pose.raised:
            swing, bend, splay = 0.5, 2.2, 0.35
        across = side * (self.build.shoulders - 0.012)
        start = (across, self.shoulder + 0.024, 0.0)
        elbow = (
            start[0] + side * upper * math.sin(splay),
            start[1] + upper * math.cos(swing) * math.cos(splay),
            upper * math.sin(swing),
        )
        angle = swing + bend
        wrist = (
            elbow[0] - side * lower * 0.12 * math.sin(bend),
            elbow[1] + lower * math.cos(angle),
            elbow[2] + lower * math.sin(angle),
        )
        near = self.nearness(across, (elbow[2] + wrist[2]) / 2)
        return Limb((self.at(*start), self.at(*elbow), self.at(*wrist)), near, side)

    def _leg(self, side: int) -> Limb:
        hip = self.build.hip_height
        thigh = shank = (ANKLE - hip) / 2
        swing = side * math.sin(self.pose.phase) * self.pose.stride
        flex = max(0.0, math.cos(self.pose.phase) * side) * self.pose.stride * 1.3 + 0.04
        across = side * self.build.hips * 0.48
        knee = (across, hip + thigh * math.cos(swing), thigh * math.sin(swing))
        angle = swing - flex
        ankle = (across * 0.9, knee[1] + shank * math.cos(angle), knee[2] + shank * math.sin(angle))
        near = self.nearness(across, (knee[2] + ankle[2]) / 2)
        return Limb((self.at(across, hip, 0.0), self.at(*knee), self.at(*ankle)), near, side)
