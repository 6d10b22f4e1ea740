"""HTML and SVG that cannot be broken out of: text is escaped because it is text.

One type, :class:`Markup`, is what was made here; everything else is text and is escaped on its way
in, in content and in attributes alike.  No template, so no place where an escape is forgotten.

Not here: what a page says (:mod:`~stayput.audit.page`).  Invariants: :func:`element` is the only
maker of tags; names of tags and attributes come from this package's code, never from data; an
attribute that could carry a script or load something is refused.  Characters that do not show
(controls, direction marks, lone surrogates) become U+FFFD: a name must not rewrite the line that
it stands in.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final

_VOID: Final = frozenset({"br", "circle", "link", "line", "meta", "path", "rect", "use"})
"""Elements that have no content when they are given none, written without an end tag in HTML."""

_SVG_EMPTY: Final = frozenset({"circle", "line", "path", "rect", "use"})

_REFUSED: Final = frozenset({"src", "srcset", "srcdoc", "style", "action", "formaction", "data"})


class Markup(str):
    """Text that is HTML already: made by :func:`element`, :func:`text` or :func:`join`."""

    __slots__ = ()


Content = Markup | str | int | None
"""What goes between tags. ``str`` and ``int`` are escaped, ``None`` is nothing."""


def text(value: str | int) -> Markup:
    """Escape. Invisible characters become U+FFFD, line breaks and tabs a space."""
    plain = str(value)
    if not plain.isprintable():
        plain = "".join(map(_visible, plain))
    return Markup(html.escape(plain, quote=True))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character in "\n\r\t" else "\N{REPLACEMENT CHARACTER}"


def join(*parts: Content | Iterable[Content]) -> Markup:
    """One after the other, each escaped unless it is markup."""
    return Markup("".join(_pieces(parts)))


def _pieces(parts: Iterable[Content | Iterable[Content]]) -> Iterable[str]:
    for part in parts:
        if part is None:
            continue
        if isinstance(part, Markup):
            yield part
        elif isinstance(part, str | int):
            yield text(part)
        else:
            yield from _pieces(part)


def element(
    tag: str, *content: Content | Iterable[Content], **attributes: str | int | bool | None
) -> Markup:
    """One element.

    Args:
        content: children; text is escaped.
        attributes: a trailing underscore is dropped (``class_``), others become hyphens
            (``aria_label``); ``True`` is a bare attribute, ``None`` and ``False`` are left out.

    Raises:
        ValueError: an attribute that runs or loads something, or a link that leaves the page.
    """
    opening = "".join(_attribute(name, value) for name, value in attributes.items())
    inner = join(*content)
    if tag in _VOID and not inner:
        return Markup(f"<{tag}{opening}/>" if tag in _SVG_EMPTY else f"<{tag}{opening}>")
    return Markup(f"<{tag}{opening}>{inner}</{tag}>")


def _attribute(name: str, value: str | int | bool | None) -> str:
    name = name.rstrip("_").replace("_", "-")
    if name in _REFUSED or name.startswith("on"):
        raise ValueError(f"the page has no use for the attribute {name}")
    if name == "href" and not (str(value).startswith("#") or value == "data:,"):
        raise ValueError("a link stays on the page")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{text(value)}"'
