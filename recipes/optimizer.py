"""Muon for the matrices inside the layers, Adam for the rest (embedding, norms), shared out over processes.

Muon (Jordan et al. 2024; arXiv 2502.16982) takes the momentum of a matrix's gradient, makes it nearly orthogonal by
five Newton-Schulz steps, and moves the matrix by that: about half the steps of AdamW at this size. Each process
orthogonalises its share of the matrices. State is kept in numpy, in the order of the flattened parameters. No
schedule lives here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np

MOMENTUM = 0.95
BETAS = (0.9, 0.98)
EPSILON = 1e-8
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


@dataclass(slots=True)
class Muon:
    """State over parameters of the given names and shapes, flattened one after the other."""

    names: list[str]
    shapes: list[tuple[int, ...]]
    first: np.ndarray = field(init=False)
    second: np.ndarray = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        count = sum(int(np.prod(shape)) for shape in self.shapes)
        self.first = np.zeros(count, dtype=np.float32)
        self.second = np.zeros(count, dtype=np.float32)

    def parts(self) -> list[tuple[slice, tuple[int, ...], bool]]:
        """Each parameter's place, shape, and whether Muon (rather than Adam) moves it."""
        made, start = [], 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            end = start + int(np.prod(shape))
            made.append((slice(start, end), shape, len(shape) == 2 and ".layers." in name))
            start = end
        return made

    def update(
        self,
        gradient: np.ndarray,
        rank: int,
        processes: int,
        exchange: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """The direction for each parameter, to be multiplied by its learning rate and subtracted.

        `exchange` adds up the directions of all processes, each of which fills in its own share only.
        """
        self.steps += 1
        direction = np.zeros_like(gradient)
        by_shape: dict[tuple[int, ...], list[slice]] = {}
        for number, (place, shape, matrix) in enumerate(self.parts()):
            if matrix:
                self.first[place] = MOMENTUM * self.first[place] + gradient[place]
                if number % processes == rank:
                    by_shape.setdefault(shape, []).append(place)
            else:
                moved = self._adam(gradient, place)
                if number % processes == rank:
                    direction[place] = moved
        for shape, places in by_shape.items():
            nesterov = [gradient[p] + MOMENTUM * self.first[p] for p in places]
            moved = orthogonal(mx.array(np.stack(nesterov).reshape(-1, *shape))) * max(1.0, shape[0] / shape[1]) ** 0.5
            for place, value in zip(places, np.array(moved), strict=True):
                direction[place] = value.reshape(-1)
        return exchange(direction)

    def _adam(self, gradient: np.ndarray, place: slice) -> np.ndarray:
        one, two = BETAS
        given = gradient[place]
        self.first[place] = one * self.first[place] + (1 - one) * given
        self.second[place] = two * self.second[place] + (1 - two) * given * given
        mean = self.first[place] / (1 - one**self.steps)
        spread = np.sqrt(self.second[place] / (1 - two**self.steps))
        return mean / (spread + EPSILON)


def orthogonal(matrices: mx.array) -> mx.array:
    """Matrices (n, rows, columns) made nearly orthogonal: singular values come out between 0.7 and 1.2."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.swapaxes(-1, -2) if tall else matrices
    x = x / (mx.sqrt(mx.sum(x * x, axis=(-1, -2), keepdims=True)) + 1e-7)
    for _ in range(5):
        square = x @ x.swapaxes(-1, -2)
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.swapaxes(-1, -2) if tall else x
