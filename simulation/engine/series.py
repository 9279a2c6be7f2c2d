"""What happened to each law along a run, in bounded memory and without losing an extreme."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POINTS_MAX = 512


@dataclass(frozen=True)
class Series:
    """Error and limit of one quantity at chosen steps, for a plot: arrays of one length, SI."""

    step: np.ndarray
    time_s: np.ndarray
    error: np.ndarray
    limit: np.ndarray


class Track:
    """The errors of one quantity: extremes over every step, and at most ``POINTS_MAX`` points.

    A point is the step with the largest |error| of its stretch of ``stride`` steps; when there are
    too many, neighbours are merged and the larger stays. So every maximum survives to the end.
    """

    def __init__(self) -> None:
        """Start with no steps seen."""
        self.stride = 1
        self.points: list[tuple[int, float, float]] = []
        self.seen = 0
        self.largest: tuple[int, float, float] = (0, 0.0, 0.0)
        self.worst_margin = 0.0
        self.worst_step = 0

    def extend(self, steps: np.ndarray, errors: np.ndarray, limits: np.ndarray) -> None:
        """Add consecutive steps: their numbers, signed errors and the limits that were in force."""
        if not steps.size:
            return
        size = np.abs(errors)
        top = int(np.argmax(size))
        if self.seen == 0 or size[top] > abs(self.largest[1]):
            self.largest = (int(steps[top]), float(errors[top]), float(limits[top]))
        # 0/0 of an exact law is no margin used; x/0 is infinite and does not occur unless violated.
        margin = np.divide(size, limits, out=np.zeros_like(size), where=limits > 0)
        at = int(np.argmax(margin))
        if margin[at] > self.worst_margin:
            self.worst_margin, self.worst_step = float(margin[at]), int(steps[at])
        self._add_points(steps, errors, limits)

    def _add_points(self, steps: np.ndarray, errors: np.ndarray, limits: np.ndarray) -> None:
        position = 0
        while position < steps.size:
            rest = slice(position, steps.size)
            add = self._finish if self.seen % self.stride else self._add_stretches
            taken = add(steps[rest], errors[rest], limits[rest])
            self.seen += taken
            position += taken
            if len(self.points) > POINTS_MAX and self.seen % self.stride == 0:
                self._merge()

    def _finish(self, steps: np.ndarray, errors: np.ndarray, limits: np.ndarray) -> int:
        """Add to the stretch that an earlier call left unfinished; return how many steps."""
        taken = min(self.stride - self.seen % self.stride, steps.size)
        top = int(np.argmax(np.abs(errors[:taken])))
        point = (int(steps[top]), float(errors[top]), float(limits[top]))
        self.points[-1] = max(self.points[-1], point, key=_size)
        return taken

    def _add_stretches(self, steps: np.ndarray, errors: np.ndarray, limits: np.ndarray) -> int:
        """Add a point for each whole stretch that there is room for, or for the last part of one;
        return how many steps.
        """
        whole = min(steps.size // self.stride, POINTS_MAX + 1 - len(self.points))
        many, width = (whole, self.stride) if whole else (1, steps.size)
        rows = np.abs(errors[: many * width]).reshape(many, width)
        tops = np.arange(many) * width + np.argmax(rows, axis=1)
        found = (values[tops].tolist() for values in (steps, errors, limits))
        self.points += zip(*found, strict=True)
        return many * width

    def _merge(self) -> None:
        pairs = [self.points[i : i + 2] for i in range(0, len(self.points), 2)]
        self.points = [max(pair, key=_size) for pair in pairs]
        self.stride *= 2

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the points as (steps int64, errors, limits)."""
        table = np.array(self.points, dtype=np.float64).reshape(-1, 3)
        return table[:, 0].astype(np.int64), table[:, 1].copy(), table[:, 2].copy()

    def to_json(self) -> dict[str, object]:
        """Return everything as plain values for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, values: dict[str, object]) -> Track:
        """Rebuild what ``to_json`` returned."""
        track = cls()
        vars(track).update(values)
        track.points = [(int(s), float(e), float(m)) for s, e, m in track.points]
        step, error, limit = track.largest
        track.largest = (int(step), float(error), float(limit))
        return track


def _size(point: tuple[int, float, float]) -> float:
    return abs(point[1])
