"""Measurements of speed, each of two sides in turn on the same machine. See ``python -m benchmarks --help``."""

import pipeline  # noqa: F401  # mends a torchvision that does not load, before anything imports it
