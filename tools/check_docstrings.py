"""Refuse the worst patterns of docstrings, which nobody understands who reads one alone; `make lint` runs this."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("pipeline", "benchmarks", "tools")

FIRST_LINE = re.compile(r"What\b")
LINES = (  # a line that matches, and what is wrong with it
    (re.compile(r"\w+: Of\b"), "a note that begins with 'Of' does not say what the field is"),
    (re.compile(r"\w*(Error|Exception): (?!If |When )"), "say when it is raised: 'If ...'"),
    (re.compile(r"\w+: (Likewise|See )"), "say what the field is, and not only where to read it"),
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
    """Print the faults of all files; return 1 if there is one, else 0."""
    found = [fault for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) for fault in faults(path)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
