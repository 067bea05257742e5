"""The check of docstrings finds what it is meant to, and nothing in docstrings that can be understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_docstrings import faults

WRONG = '''
def load():
    """What is loaded.

    Args:
        seed: Of the order.
        size: Likewise.

    Raises:
        PipelineError: It is neither.
    """
'''
RIGHT = '''
def load():
    """Load the images. What is loaded is checked.

    Args:
        seed: Decides the order.

    Raises:
        PipelineError: If it is neither an archive nor a folder.
    """
'''


@pytest.mark.parametrize(("text", "expected"), [(WRONG, [3, 6, 7, 10]), (RIGHT, [])])
def test_each_pattern_is_found_where_it_stands(text: str, expected: list[int], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(text)
    assert [int(fault.split(":")[1]) for fault in faults(path)] == expected
