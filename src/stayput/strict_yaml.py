"""Strict YAML: a node tree with positions, and mistakes that point into it.

What a person writes is read as written: one document, no anchors, aliases or tags, bounded size and
depth, and nothing is constructed, so ``NO`` never becomes *false*; :func:`trap` explains where YAML
would have done that.  What the nodes mean is :mod:`stayput.scenario_file`.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stayput.errors import ScenarioError
from stayput.scenario import UNSHOWABLE

MAX_FILE_CHARACTERS = 512 * 1024
"""Room for the largest sensible level list; a longer file is refused before it is parsed."""

MAX_YAML_DEPTH = 12
"""A scenario has 6 levels of nesting; more is a mistake or an attack on the parser."""

ROOT = "scenario file"
"""``where`` of a mistake that belongs to no field."""


def compose(text: str) -> Node:
    """The node tree of the file.

    Raises:
        ScenarioError: too long, not YAML, or YAML outside the strict subset.
    """
    if len(text) > MAX_FILE_CHARACTERS:
        raise _syntax(
            f"the file has more than {MAX_FILE_CHARACTERS} characters",
            None,
            "a level list this long is an identifier: group it",
        )
    try:
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise ScenarioError(
            f"the character U+{code:04X} is not allowed",
            line=line,
            column=column,
            where=ROOT,
            hint="it does not show on a screen: remove it",
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(
            f"not YAML: {error.problem or error.context}",
            error.problem_mark or error.context_mark,
            _yaml_hint(error.problem or ""),
        ) from None
    if node is None:
        raise _syntax("the file is empty", None, "begin with:  scenario: my-question")
    return node


class _StrictLoader(yaml.SafeLoader):
    """Composes nodes with positions; constructs nothing.  What is refused here is refused before
    the tree is built, so an alias bomb never unfolds."""

    _depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _syntax(
                "anchors (&) and aliases (*) are not allowed",
                event.start_mark,
                "write the value out; if a text begins with & or *, quote it",
            )
        if getattr(event, "tag", None) is not None:
            raise _syntax(
                "tags (!) are not allowed",
                event.start_mark,
                "remove the tag; if a text begins with !, quote it",
            )
        self._depth += 1
        if self._depth > MAX_YAML_DEPTH:
            raise _syntax("the file is nested too deeply", event.start_mark, "")
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _syntax(message: str, mark: yaml.Mark | None, hint: str) -> ScenarioError:
    if mark is None:
        return ScenarioError(message, hint=hint, where=ROOT)
    return ScenarioError(message, hint=hint, line=mark.line + 1, column=mark.column + 1, where=ROOT)


def _yaml_hint(problem: str) -> str:
    if "\\t" in problem:
        return "indent with spaces, not with tabs"
    if "mapping values are not allowed" in problem or "expected <block end>" in problem:
        return "check the indentation; a text that contains ': ' needs quotes"
    if "another document" in problem:
        return "one file holds one scenario: remove the line ---"
    if "cannot start any token" in problem:
        return "quote a text that begins with @, `, % or |"
    return "check indentation, quotes and brackets around this place"


def mistake(node: Node, where: str, message: str, hint: str = "") -> ScenarioError:
    """A mistake at a node."""
    mark = node.start_mark
    return ScenarioError(
        message, hint=hint, line=mark.line + 1, column=mark.column + 1, where=where or ROOT
    )


def join(where: str, key: str) -> str:
    """A dotted path."""
    return f"{where}.{key}" if where else key


def describe_node(node: Node) -> str:
    """What a node is, in a sentence such as: expected a list, found this."""
    if isinstance(node, MappingNode):
        return "keys and values"
    if isinstance(node, SequenceNode):
        return "a list"
    if isinstance(node, ScalarNode) and (node.value or node.style):
        return f"the text {shown(node.value)}"
    return "nothing"


def shown(text: str) -> str:
    """Text of the file as an error message may repeat it: short, nothing invisible."""
    safe = UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\n", " "))
    return f"'{safe}'" if len(safe) <= 60 else f"'{safe[:60]}…'"


def trap(node: ScalarNode) -> tuple[str, str] | None:
    """Message and hint when a plain scalar that should be text means something else in YAML."""
    kind = node.tag.rpartition(":")[2]
    if node.style is not None or kind == "str":
        return None
    value = shown(node.value)
    quoted = f'write "{node.value}" in quotes'
    if kind == "null":
        return "there is no text here", "write one after the colon"
    if kind == "bool":
        truth = "false" if node.value.lower() in ("no", "off", "false", "n") else "true"
        return f"{value} without quotes means {truth} in YAML", quoted
    meaning = {
        "int": "a number",
        "float": "a number",
        "timestamp": "a date",
        "merge": "a merge key",
    }.get(kind, "something else")
    return f"{value} without quotes means {meaning} in YAML, not a text", quoted


def number_hint(text: str) -> str:
    """What to write instead of a number that is not spelled plainly."""
    hints = (
        (r"[+-]?[0-9][0-9_]*_[0-9_]*(\.[0-9]+)?", "write the digits without underscores"),
        (r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", "write the digits without separators"),
        (r"[+-]?[0-9]+,[0-9]+", "the decimal mark is a point"),
        (r"-?0o?[0-9]+(\.[0-9]+)?", "leading zeros mean octal in YAML: write it without them"),
        (r"[+-]?0[xXbB][0-9a-fA-F_]+", "write it in decimal digits"),
        (r"[+-]?([0-9]*\.)?[0-9]+[eE][+-]?[0-9]+", "write it out, without an exponent"),
        (r"[+-]?[0-9]+(:[0-9]{1,2})+", "YAML reads this in base 60: write one number in one unit"),
        (r"\+[0-9.]+", "leave out the plus sign"),
        (r"-?\.[0-9]+", "write a 0 before the point"),
        (r"-?[0-9]+\.", "write digits after the point, or leave it out"),
        (r"-?[0-9]+\.[0-9]+", "a whole number has no point"),
        (r"[+-]?\.?(inf|nan)", "every number needs a finite bound"),
        (
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*",
            "dates are not supported: use a number of days or months",
        ),
    )
    for pattern, hint in hints:
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return hint
    return "write digits, such as 12"
