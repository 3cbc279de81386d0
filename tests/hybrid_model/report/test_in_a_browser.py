"""The report in a real browser: nothing is asked for, nothing sticks out, on a desk and on a phone, light and dark."""

from __future__ import annotations

import pytest

from tests.hybrid_model.report.test_report import network, own, write
from tests.services.console.site import chromium

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    classes = ("a class whose name is rather long", "W" * 60, *map(str, range(2, 10)))
    brought = own("digits", classes=classes)
    brought.dataset.train.y[:] = (brought.dataset.train.y + 1) % 10
    write(folder, "digits", bundle=network("digits", classes), brought=brought)
    return folder / "digits.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_and_asks_for_nothing(browser, path, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.goto(path.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert told == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("main svg").count() >= 3
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    outside = """() => [...document.querySelectorAll('figure svg text')].filter((text) => {
        const box = text.getBoundingClientRect(), frame = text.ownerSVGElement.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
    }).map((text) => text.textContent)"""
    assert page.evaluate(outside) == []
    page.close()
