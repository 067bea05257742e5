"""stub"""

from pathlib import Path


def run(config):
    return Path()
