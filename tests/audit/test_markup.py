"""Text stays text: no content and no attribute breaks out of a tag."""

from __future__ import annotations

import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stayput.audit.markup import Markup, element, join, text


class Reader(HTMLParser):
    """An independent reader: which tags, attributes and texts a piece of HTML has."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


def shown(value: str) -> str:
    """What a reader should see of a text, said in another way than the code says it."""
    spaced = value.replace("\n", " ").replace("\r", " ").replace("\t", " ")
    return "".join(c if c.isprintable() else "\ufffd" for c in spaced)


@given(st.text())
def test_any_text_comes_out_as_itself_and_makes_no_tag(value: str) -> None:
    made = read(element("p", value, title=value))
    assert [tag for tag, _ in made.tags] == ["p"]
    assert "".join(made.texts) == shown(value)
    assert made.tags[0][1] == {"title": shown(value)}


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "</title><script>alert(1)</script>",
        "</style><script>alert(1)</script>",
        "<!--",
        "]]>",
        "&lt;script&gt;",
        "\u202e<script>",
        "a\x00b",
        "\ud800",
    ],
)
def test_an_attack_is_only_text(attack: str) -> None:
    made = element("td", attack, aria_label=attack)
    assert [tag for tag, _ in read(made).tags] == ["td"]
    assert "<script" not in made
    made.encode("utf-8")  # no lone surrogate is left


def test_what_is_escaped_already_is_escaped_again() -> None:
    assert text("&lt;") == "&amp;lt;"
    assert html.unescape(text("&lt;")) == "&lt;"


def test_direction_marks_do_not_turn_a_line_around() -> None:
    assert text("abc\u202edef\u2066") == "abc\ufffddef\ufffd"


def test_markup_nests_and_is_not_escaped_twice() -> None:
    assert element("p", "a & ", element("b", "c")) == "<p>a &amp; <b>c</b></p>"
    assert join("a", None, 3, [element("br"), ["<"]]) == "a3<br>&lt;"
    assert isinstance(join(), Markup)


def test_attributes() -> None:
    made = element("svg", class_="x", viewBox="0 0 1 1", aria_hidden="true", hidden=True, id=None)
    assert made == '<svg class="x" viewBox="0 0 1 1" aria-hidden="true" hidden></svg>'
    assert element("circle", r=3) == '<circle r="3"/>'
    assert (
        element("circle", element("title", "t"), r=3) == '<circle r="3"><title>t</title></circle>'
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"onclick": "x"},
        {"src": "https://example.org/x.js"},
        {"style": "background:url(//example.org)"},
        {"href": "https://example.org"},
        {"href": "javascript:alert(1)"},
        {"href": "data:text/html,x"},
        {"action": "/x"},
    ],
)
def test_an_attribute_that_runs_or_loads_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"no use for|stays on the page"):
        element("a", "x", **attributes)


def test_a_link_on_the_page_is_fine() -> None:
    assert element("a", "x", href="#y") == '<a href="#y">x</a>'
