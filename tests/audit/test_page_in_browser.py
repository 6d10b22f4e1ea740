"""The page in a real browser: it renders, loads nothing, and nothing is complained of."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit.reports import long_report, short_report
from audit.test_page import BAD, NOTICE, poisoned
from browser import Browser, find_browser, running_browser

from stayput.audit.page import render_page

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no Chromium: install Debian's chromium-headless-shell"
)

WIDTHS = {"telephone": 360, "tablet": 768, "wide": 1440}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    reports = {
        "short": short_report(),
        "failed": short_report(BAD, NOTICE),
        "long": long_report(400, holders=5),
        "poisoned": poisoned(short_report(BAD)),
    }
    for name, report in reports.items():
        (folder / f"{name}.html").write_bytes(render_page(report))
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with running_browser(PROGRAM, tmp_path_factory.mktemp("browser")) as running:
        yield running


VISIBLE = """(() => {
  const box = document.querySelector(%r).getBoundingClientRect();
  return [box.left, box.right, box.width, box.height];
})()"""


def box(browser: Browser, selector: str) -> tuple[float, float, float, float]:
    left, right, width, height = browser.evaluate(VISIBLE % selector)
    return left, right, width, height


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("name", ["short", "failed", "long"])
def test_it_shows_verdict_picture_and_tables(
    browser: Browser, pages: Path, name: str, width: int, scheme: str
) -> None:
    url = (pages / f"{name}.html").as_uri()
    browser.open(url, width=width, scheme=scheme)
    assert browser.requests() == [url]
    assert browser.complaints() == []
    answer = "The log does not stand." if name == "failed" else "The log stands."
    assert browser.evaluate("document.getElementById('verdict').innerText") == answer
    left, right, _, height = box(browser, "#verdict")
    assert left >= 0
    assert right <= width
    assert height > 20
    # The page itself never scrolls sideways: what is wide scrolls in its own frame.
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    _, _, picture, tall = box(browser, "svg.picture")
    assert picture >= min(width, 700)
    assert tall > 100
    assert browser.evaluate("document.querySelectorAll('svg.picture [class]').length") > 60
    hidden = """[...document.querySelectorAll('table')].filter(
        table => table.getBoundingClientRect().height < 20).length"""
    assert browser.evaluate(hidden) == 0
    assert browser.evaluate("document.querySelectorAll('table').length") >= 9


def test_the_style_is_in_force_under_the_policy(browser: Browser, pages: Path) -> None:
    colours = []
    for scheme in ("light", "dark"):
        browser.open((pages / "short.html").as_uri(), width=1200, scheme=scheme)
        colours.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(252, 251, 248)", "rgb(20, 23, 27)"]


def test_names_in_the_picture_do_not_run_into_each_other(browser: Browser, pages: Path) -> None:
    for name in ("short", "long"):
        browser.open((pages / f"{name}.html").as_uri(), width=1200)
        overlaps = """(() => {
          const boxes = [...document.querySelectorAll('svg.picture text')].map(
            text => text.getBoundingClientRect());
          let count = 0;
          boxes.forEach((a, i) => boxes.slice(i + 1).forEach(b => {
            const across = a.left < b.right && b.left < a.right;
            if (across && a.top < b.bottom - 2 && b.top < a.bottom - 2) count++;
          }));
          return count;
        })()"""
        assert browser.evaluate(overlaps) == 0, name


def test_no_text_of_a_log_runs(browser: Browser, pages: Path) -> None:
    url = (pages / "poisoned.html").as_uri()
    browser.open(url, width=1200)
    assert browser.evaluate("document.title") != "owned"
    assert browser.evaluate("document.scripts.length") == 0
    assert browser.evaluate("document.images.length") == 0
    assert browser.requests() == [url]
    assert browser.complaints() == []


def test_a_script_would_not_run_even_if_it_were_there(browser: Browser, pages: Path) -> None:
    """The policy is a second wall: the browser itself refuses, and this test sees it refuse."""
    page = (pages / "short.html").read_text("utf-8")
    inside = "<script>document.title='owned'</script><img src='https://example.org/x.png'></body>"
    (pages / "broken.html").write_text(page.replace("</body>", inside), "utf-8")
    url = (pages / "broken.html").as_uri()
    browser.open(url, width=1200)
    assert browser.evaluate("document.title") != "owned"
    blocked = [
        event["params"].get("blockedReason")
        for event in browser.events
        if event["method"] == "Network.loadingFailed"
    ]
    assert blocked == ["csp"]
    assert len(browser.requests()) == 2  # the attempt is reported, and was refused
    assert browser.complaints() != []


def test_a_server_is_asked_for_the_page_alone(browser: Browser, pages: Path) -> None:
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(pages))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            browser.open(f"http://127.0.0.1:{server.server_port}/short.html", width=1200)
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/short.html"]


def test_it_is_read_aloud_with_names(browser: Browser, pages: Path) -> None:
    """The accessibility tree: a named picture, named tables, headings, one main part."""
    browser.open((pages / "short.html").as_uri(), width=1200)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named: dict[str, list[str]] = {}
    for node in nodes:
        if not node.get("ignored"):
            role = node["role"]["value"]
            named.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert any(name.startswith("60 entries of the log") for name in named["image"])
    assert all(named["table"])
    assert len(named["main"]) == 1
    assert "Findings" in named["heading"]
    assert all(named["region"])


def test_it_prints(browser: Browser, pages: Path) -> None:
    browser.open((pages / "short.html").as_uri(), width=1200)
    paper = browser.pdf()
    assert paper.startswith(b"%PDF-")
    assert 2 <= paper.count(b"/Type /Page\n") <= 12


def test_the_browser_notices_a_request(browser: Browser, pages: Path) -> None:
    """What the tests above rest on: a page that does load something is seen to do so."""
    (pages / "loads.html").write_text("<img src='missing.png'><script>console.log(1)</script>")
    browser.open((pages / "loads.html").as_uri(), width=400)
    assert any(url.endswith("missing.png") for url in browser.requests())
    assert browser.complaints() != []
