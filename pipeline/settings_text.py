"""The YAML of settings, whose aliases may save typing but must not multiply.

Ten levels of nine aliases each, a kilobyte of text, stand for three billion values; an alias of a list that holds it
stands for endlessly many. YAML itself reads them in no time, but what goes through the values afterwards never ends.
"""

from __future__ import annotations

import re
from typing import Any

from jsonargparse import get_loader, set_loader

MODE = "settings"  # of jsonargparse's parsers that read YAML through this module

MOST = 10_000  # values that settings may have, with all aliases written out; a config has some hundreds


# what jsonargparse and Python say of wrong settings, and what it means
_WORDS = (
    (r'Parser key "([^"]*)":\s*', r"\1: "),
    (r"Expected a <class 'tuple'>\. Got value: (.*)", r"\1 is not allowed; expected a list, such as [a, b]"),
    (r"Expected a <class 'dict'>\. Got value: (.*)", r"\1 is not allowed; expected fields, such as {path: photos}"),
    (r"Expected a typing\.Literal\[(.*)\]\. Got value: (.*)", r"\2 is not allowed; expected one of \1"),
    (r"Expected a <class '(\w+)'>\. Got value: (.*)", r"\2 is not allowed; expected a value of type \1"),
    (
        r"(?s)Does not validate against any of the Union subtypes\n\s*Subtypes: \[<class '(\w+)'>, <class 'NoneType'>\]"
        r".*Given value: (.*)",
        r"\2 is not allowed; expected a value of type \1, or null",
    ),
    (r"(unrecognized arguments: [^-].*)", r"\1; a value follows the name of its setting, such as --name value"),
    (r"(?s)Unexpected config: (.*)", r"there is no setting in it; expected such as `grid: {draws: 8}`, found: \1"),
    (
        r"\w*Error: .* argument after \*\* must be a mapping, not NoneType",
        "a section is empty: leave it out or fill it",
    ),
    (r"UnicodeDecodeError: .*", "it is no text in UTF-8"),
)


def in_plain_words(message: str) -> str:
    """Say what a message of jsonargparse or Python means to whoever wrote the settings.

    Examples:
        >>> in_plain_words("Expected a <class 'tuple'>. Got value: 5")
        '5 is not allowed; expected a list, such as [a, b]'
    """
    for pattern, meaning in _WORDS:
        message = re.sub(pattern, meaning, message)
    return message


def register() -> str:
    """Tell jsonargparse how settings are read, and return the parser mode that does it."""
    import yaml

    set_loader(MODE, load, (yaml.YAMLError,))
    return MODE


def load(text: str) -> Any:
    """Read YAML as jsonargparse does, unless its aliases stand for too many values.

    Raises:
        yaml.YAMLError: If the text is no YAML, or its aliases are refused.
    """
    if "*" in text:
        _check_aliases(text)
    return get_loader("yaml")(text)


def _check_aliases(text: str) -> None:
    import yaml

    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if root is not None and _count(root, {}) > MOST:
        raise yaml.YAMLError(f"its aliases (*name) stand for more values than settings have; expected at most {MOST:,}")


def _count(node: Any, counted: dict[int, int]) -> int:
    """Count the values of a node with every alias written out; ``counted`` holds those that were counted before.

    Raises:
        yaml.YAMLError: If the node holds itself.
    """
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return 1
    known = counted.get(id(node))
    if known == 0:
        raise yaml.YAMLError("an alias (*name) stands for a value that holds it; expected one without a circle")
    if known is None:
        counted[id(node)] = 0  # until all that it holds is counted
        children = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        known = counted[id(node)] = 1 + sum(_count(child, counted) for child in children)
    return known
