"""Refuse the worst patterns of docstrings, which nobody understands who reads one alone; `make lint` runs this."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("pipeline", "benchmarks", "tools")
TO_DO = Path(__file__).with_name("docstrings_to_do.txt")  # files that nobody has rewritten yet; the list only shrinks

FIRST_LINE = re.compile(r"What\b")
LINES = (  # a line that matches, and what is wrong with it
    (re.compile(r"\w+: Of\b"), "a note that begins with 'Of' does not say what the field is"),
    (
        re.compile(r"\w*(Error|Exception): (It|They|These|There|This|He)( \w+){1,3}\.$"),
        "say when it is raised: 'If ...'",
    ),
)


def faults(path: Path) -> Iterator[str]:
    """Find the faults in a file's docstrings.

    Args:
        path: A Python file.

    Yields:
        The file, the line, the line's text, and what is wrong with it.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node)
        if text is None:
            continue
        expression = node.body[0]
        for number, line in enumerate(text.splitlines(), start=expression.lineno):
            for message in _faults_of_line(line.strip(), is_first=number == expression.lineno):
                yield f"{path}:{number}: {line.strip()!r}: {message}"


def _faults_of_line(line: str, is_first: bool) -> Iterator[str]:
    if is_first and FIRST_LINE.match(line):
        yield "a docstring that begins with 'What' has no verb: say what it does or is"
    for pattern, message in LINES:
        if pattern.match(line):
            yield message


def main() -> int:
    """Print the faults of all files that are not on the list; return 1 if there is one, else 0."""
    waiting = set(TO_DO.read_text(encoding="utf-8").split())
    status = 0
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        name, found = path.relative_to(ROOT).as_posix(), list(faults(path))
        if name in waiting and not found:
            print(f"{name} is in order; take it off {TO_DO.name}")
        if name not in waiting and found:
            print("\n".join(found))
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
