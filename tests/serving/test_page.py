"""The page, in a real browser where there is one: it shows the service's numbers, by keyboard too, on any width."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from polyrec.serving.model import Sources

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("needs chromium, which is not on the path (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as found:
        one = found.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield one
        one.close()


class Opened:
    """The page with its first answers shown; what went wrong on it, and what it asked for."""

    def __init__(self, browser, server, width=1280, height=900):
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.trouble, self.asked = [], []
        self.page.on("console", lambda message: self.trouble.append(message.text))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(f"{server.address}/")
        self.settled()

    def settled(self):
        self.page.wait_for_selector("#matrix tbody tr", timeout=30_000)
        self.page.wait_for_load_state("networkidle")

    def eventually(self, holds):
        """Wait until it holds; the page's own policy forbids to ask it from within."""
        for _ in range(200):
            if holds():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(self.page.inner_text("body"))

    def items(self):
        return [one.split("\n")[0] for one in self.page.locator("#items button").all_inner_texts()]


@pytest.fixture
def opened(browser, bundle, serve):
    server = serve(bundle, sources=Sources(items=(bundle.parent / "log-3.parquet",)))
    one = Opened(browser, server)
    yield one, server
    one.page.close()


def test_it_shows_what_recommend_answers(opened):
    one, server = opened
    shown, rows = one.page.inner_text("#user :checked"), server.ask("/examples").json["rows"]
    user = next(row for row in rows if f"user {row['user']}" == shown)
    plain = {name: user[name] for name in ("user", "history", "age") if user[name] is not None}
    expected = server.ask("/recommend", {"user": plain, "scenario": "s0", "k": 10, "objective": {"buy": 1}}).json
    assert one.items() == [each["item"] for each in expected["items"]]
    first = one.page.locator("#items tbody tr").first.locator("td.p").all_inner_texts()
    assert first[-2] == f"{100 * expected['items'][0]['probabilities']['buy']:.1f} %"
    assert [row.split("\t")[0] for row in one.page.locator("#matrix tbody tr").all_inner_texts()] == ["s0", "s1", "s2"]
    assert one.page.locator("#sides article").count() == 3
    row = {**plain, "tab": "s0"}
    behind = server.ask("/explain", {"row": row, "item": expected["items"][0]["item"]}).json["mixtures"]
    one.eventually(lambda: one.page.locator("#mixtures article").count() == len(behind))
    shown = one.page.locator("#mixtures article").first.inner_text().split("\n")
    assert f"{100 * behind[0]['shares'][0]:.1f} %" in shown
    assert "requests from this page" in one.page.inner_text("#latency")
    assert one.trouble == []


def test_it_loads_nothing_from_elsewhere(opened):
    one, server = opened
    assert {url.split("/")[2] for url in one.asked} == {server.address.split("/")[2]}


def test_a_change_of_scenario_features_and_item_is_followed_by_keyboard_alone(opened):
    one, _ = opened
    page = one.page
    page.focus("#scenario")
    page.keyboard.press("s")
    page.keyboard.press("ArrowDown")
    one.settled()
    scenario = page.input_value("#scenario")
    assert scenario != "s0"
    one.eventually(lambda: f"in {scenario}," in page.inner_text("#told"))
    page.focus("#features summary")
    page.keyboard.press("Enter")
    page.focus("#inputs input")
    before = page.inner_text("#items")
    page.keyboard.press("Control+A")
    page.keyboard.type("7")
    one.eventually(lambda: page.inner_text("#items") != before)
    one.settled()
    page.locator("#items button").nth(3).focus()
    name = one.items()[3]
    page.keyboard.press("Enter")
    one.eventually(lambda: f"Probabilities of {name} " in page.inner_text("#asked"))
    assert page.evaluate("document.activeElement.textContent") == name
    assert one.trouble == []


def test_a_mistake_is_told_in_the_services_words(opened):
    one, _ = opened
    one.page.click("#features summary")
    one.page.fill("#inputs input[data-name=age]", "old")
    one.page.wait_for_selector("#trouble:not(:empty)")
    assert "user.age: Expected" in one.page.inner_text("#trouble")
    one.page.fill("#inputs input[data-name=age]", "44")
    one.page.wait_for_selector("#trouble:empty", state="attached")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 640), (820, 1180), (1920, 1080)])
def test_nothing_sticks_out_at_any_width(browser, shared_server, width, height):
    one = Opened(browser, shared_server, width, height)  # without a catalogue: items of the example rows
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(one.items()) == 10
    assert one.trouble == []
    one.page.close()
