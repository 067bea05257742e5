"""python -m pipeline STAGE --config F [--section.field value ...]: the table of stages, and nothing but it."""

from __future__ import annotations

import sys

from pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
