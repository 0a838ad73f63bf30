#!/usr/bin/env python3
"""Renders coloured sprites: one or two discs, squares or triangles on a ground that goes from one colour to another.

    python benches/sprites.py FOLDER [--size 32] [--train 12000] [--test 1000] [--seed 0]

writes FOLDER/train.npy and FOLDER/test.npy, (N, size, size, 3) bytes, which `elbo train --data FOLDER` reads. Kind, colour,
place, size and turn of a sprite are uniform. Needs NumPy.
"""

import argparse
import pathlib

import numpy as np

# Points of a pixel, each way, whose mean is its colour.
POINTS = 4


def polygon(x, y, corners, radius, turn):
    """Whether points (x, y) are in a regular polygon about the origin, or, without corners, in a disc."""
    if corners == 0:
        return x * x + y * y < radius * radius
    inside = np.ones_like(x, bool)
    for side in range(corners):
        angle = turn + 2 * np.pi * side / corners
        inside &= x * np.cos(angle) + y * np.sin(angle) < radius * np.cos(np.pi / corners)
    return inside


def sprite(random, size):
    """An image, (size, size, 3) bytes."""
    at = (np.arange(size * POINTS) + 0.5) / (size * POINTS)
    y, x = np.meshgrid(at, at, indexing="ij")
    top, bottom = random.integers(0, 110, (2, 3))
    picture = top + (bottom - top) * y[..., None]
    for _ in range(random.integers(1, 3)):
        corners, radius = random.choice([0, 3, 4]), random.uniform(0.12, 0.28)
        across, down = random.uniform(0.25, 0.75, 2)
        inside = polygon(x - across, y - down, corners, radius, random.uniform(0, 2 * np.pi))
        picture[inside] = random.integers(100, 256, 3)
    points = picture.reshape(size, POINTS, size, POINTS, 3)
    return np.round(points.mean((1, 3))).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=32, help="height and width [%(default)s]")
    parser.add_argument("--train", type=int, default=12000, help="training images [%(default)s]")
    parser.add_argument("--test", type=int, default=1000, help="test images [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="[%(default)s]")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(arguments.seed)
    for name, n in [("train", arguments.train), ("test", arguments.test)]:
        images = np.stack([sprite(random, arguments.size) for _ in range(n)])
        np.save(arguments.folder / f"{name}.npy", images)


if __name__ == "__main__":
    main()
