"""The page on which a person labels images, and what comes back from it as ``labels.csv``."""

from pathlib import Path

FOLDER = Path(__file__).parent  # the code and the templates that the page is made from
