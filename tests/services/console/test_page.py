"""The page in a real browser, before a site that runs."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import pytest

from hybrid_model import bundle
from services.console.page.wording import count, percent
from services.feature_stream import EdgeFeatures
from services.messages import Escalation, Sample, Status, status_topic
from services.servers import find_nats_server, find_redis_server
from services.settings import RedisSettings
from tests.conftest import require_server
from tests.services.console.site import Visit, chromium, live_site
from tests.services.console.test_recent import label, png

pytestmark = pytest.mark.timeout(300)

HOSTILE = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=1</script>{{7*7}}'
LEVELS = "[data-testid=slider] [tabindex]"
PATH = bundle.load(bundle.resolve("digits")).manifest.calibration
assert PATH is not None
LAST = len(PATH.path) - 1


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(browser):
    require_server(find_nats_server)
    require_server(find_redis_server)
    with live_site() as found:
        yield found


@pytest.fixture(scope="module")
def visit(site, browser):
    found = Visit(browser, site.url, viewport={"width": 1440, "height": 900}, color_scheme="light")
    yield found
    found.close()


@pytest.fixture(scope="module")
def phone(site, browser):
    found = Visit(
        browser, site.url, viewport={"width": 360, "height": 780}, color_scheme="dark", is_mobile=True, has_touch=True
    )
    yield found
    found.close()


def test_the_numbers_are_those_of_the_workers_counters(site, visit, wait_for):
    site.send(300, wait_for=wait_for)
    finals, confident = site.total("exits_total"), site.total("exits_total", reason="confident")
    cloud, corrected = site.total("exits_total", exit="cloud"), site.total("corrections_total")
    assert finals == 300
    assert 0 < confident < 300
    visit.until("finals", count(finals))
    visit.until("confident", count(confident))
    visit.until("confident-note", percent(confident / finals))
    visit.until("cloud", count(cloud))
    visit.until("cloud-note", f"{count(corrected)} corrected")
    for device in ("scanner-1", "scanner-2", "scanner-3"):
        sent = site.total("exits_total", device=device)
        stayed = site.total("exits_total", device=device, reason="confident")
        row = visit.page.locator("[data-testid=devices] tbody tr", has_text=device)
        row.get_by_text(percent(stayed / sent)).wait_for()
        assert count(sent) in row.inner_text()


def test_workers_are_told_with_kernel_bundle_and_control(site, visit):
    visit.until("workers", f"point {PATH.point}")
    shown = visit.text("workers")
    assert all(word in shown for word in ("edge-1", "cloud-1", "online", "digits@"))
    assert "online" in visit.page.inner_text("header")


def test_samples_are_shown_with_picture_label_and_path(visit):
    card = visit.page.locator("[data-testid=sample]").first
    card.wait_for()
    assert card.locator("img").get_attribute("src").startswith("data:image/png;base64,")
    shown = card.inner_text()
    assert re.search(r"scanner-\d", shown)
    assert re.search(r"(exit 0|cloud)", shown)
    assert re.search(r"\d\N{NARROW NO-BREAK SPACE}%", shown)


def test_a_sample_opens_by_key_and_is_explained_by_its_worker(visit):
    visit.page.locator("[data-testid=sample]").first.focus()
    visit.page.keyboard.press("Enter")
    dialog = visit.page.locator("[data-testid=sample-dialog]")
    dialog.locator(".exits").wait_for()
    assert "entropy" in dialog.inner_text()
    dialog.get_by_alt_text("coloured by what covering").wait_for()
    visit.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_moving_the_slider_changes_the_exit_share(site, visit, wait_for):
    before = site.total("exits_total", reason="confident"), site.total("exits_total")
    visit.page.focus(LEVELS)
    for _ in range(4):
        visit.page.keyboard.press("PageDown")
    visit.until("point", "Point 0:")
    visit.until("acknowledgements", "follows")
    visit.until("set-point", "point 0")
    site.send(100, wait_for=wait_for)
    assert site.total("exits_total", reason="confident") == before[0]
    assert site.total("exits_total") == before[1] + 100
    visit.page.focus(LEVELS)
    for _ in range(6):
        visit.page.keyboard.press("PageUp")
    visit.until("set-point", f"point {LAST}")
    wait_for(lambda: site.total("control_position") == LAST, "the edge worker at the last point", timeout_s=30)
    site.send(100, wait_for=wait_for)
    assert site.total("exits_total", reason="confident") >= before[0] + 80  # guards hold some back


def test_a_budget_is_sent_and_followed_and_taken_away_again(site, visit):
    visit.page.get_by_label("Value").fill("0.25")
    visit.page.get_by_role("button", name="Send").click()
    visit.until("set-point", "escalated_share 0.25")
    visit.until("acknowledgements", "follows")
    visit.page.get_by_role("button", name="Clear").click()
    visit.until("set-point", "each worker follows its settings")


def test_names_from_the_network_are_text(site, visit, wait_for):
    with site.device() as device:
        device.publish(
            site.input_topic(HOSTILE), Sample("x", time.time(), "image", None, None, png((8, 8), "L")).encode()
        )
        device.publish(site.label_topic(HOSTILE), label("y", device=HOSTILE, name=HOSTILE).encode())
        status = Status("online", "edge<b>9", HOSTILE, HOSTILE, {"mode": HOSTILE, "refused": HOSTILE, "error": HOSTILE})
        device.publish(status_topic("demo", "edge-9"), status.encode())
        assert device.flush(timeout_s=10)
    visit.page.mouse.move(0, 0)
    visit.until("devices", HOSTILE)
    visit.until("samples", HOSTILE)
    visit.until("workers", "edge<b>9")
    again = Visit(visit.context.browser, site.url)
    again.until("devices", HOSTILE)
    assert "{{7*7}}" in again.text("devices")
    for page in (visit.page, again.page):
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[onerror], main script").count() == 0
    assert again.complaints == []
    again.close()


def test_a_sample_out_of_domain_is_told_by_its_card_and_in_full(site, visit):
    with site.device() as device:
        answered = label("fog", device="camera-fog", exit="cloud", reason="escalated", in_domain=False)
        device.publish(site.label_topic("camera-fog"), answered.encode())
        assert device.flush(timeout_s=10)
    visit.page.mouse.move(0, 0)
    visit.until("samples", "out of domain")
    visit.page.locator("[data-testid=sample]", has_text="camera-fog").focus()
    visit.page.keyboard.press("Enter")
    visit.until("sample-dialog", "no: unlike what the network was trained on")
    visit.page.keyboard.press("Escape")
    visit.page.locator("[data-testid=sample-dialog]").wait_for(state="hidden")


def test_a_payload_that_is_none_of_ours_leaves_the_page_alive(site, visit, wait_for):
    with site.device() as device:
        for payload in (b"\xff\xff", b"{" * 9999, bytes(1 << 20)):
            device.publish(site.label_topic("d"), payload)
            device.publish(site.input_topic("d"), payload)
        assert device.flush(timeout_s=30)
    before = site.total("exits_total")
    site.send(20, wait_for=wait_for)
    visit.until("finals", count(before + 20))


def test_a_dead_letter_is_listed_looked_at_and_sent_again_after_a_question(site, visit, wait_for):
    network = site.demo.bundle.manifest.network_id
    edge = EdgeFeatures(RedisSettings(port=site.demo.servers.redis.port), network_id=network, site="demo", worker="e9")
    edge.register()
    edge.escalate([Escalation("s-1", "demo", "e9", "lost<b>", network, 1, ((3, 0.5),), b"short", time.time())])
    edge.close()
    visit.until("letters-table", "wrong_features")
    assert "lost<b>" in visit.text("letters-table")
    visit.page.get_by_role("button", name="Details", exact=True).click()
    visit.until("letter-dialog", "s-1")
    visit.page.keyboard.press("Escape")
    visit.page.locator("[data-testid=letters-table] tbody").get_by_role("checkbox").click()
    visit.page.get_by_role("button", name="Replay selected").click()
    visit.until("replay-dialog", "Send 1 to the cloud workers again?")
    visit.page.get_by_role("button", name="Cancel").click()
    assert site.total("cloud_dead_lettered_total") == 1
    visit.page.get_by_role("button", name="Replay selected").click()
    visit.page.get_by_role("button", name="Replay", exact=True).click()
    wait_for(lambda: site.total("cloud_dead_lettered_total") == 2, "its second attempt", timeout_s=60)


def test_a_phone_needs_no_scrolling_sideways(phone):
    phone.page.locator("[data-testid=devices] tbody tr").first.wait_for()
    phone.page.locator("[data-testid=sample]").first.wait_for()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_dark_is_the_systems_choice_and_the_switch_overrules_it(phone):
    phone.page.wait_for_selector("body.body--dark")
    phone.page.get_by_role("button", name="Light").click()
    phone.page.wait_for_selector("body.body--light")
    phone.page.reload()
    phone.page.wait_for_selector("body.body--light")
    assert phone.complaints == []


def test_everything_to_operate_has_a_name(visit):
    nameless = visit.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, [role=slider], [role=combobox], [role=switch]')]
        .filter(e => e.offsetParent && !(e.getAttribute('aria-label') || e.innerText?.trim() || e.labels?.length
            || e.closest('label')?.innerText?.trim() || e.title))
        .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_keys_reach_the_controls_and_show_where_they_are(visit):
    visit.page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); }")
    visit.page.keyboard.press("Tab")
    assert "Skip" in visit.page.evaluate("document.activeElement.innerText")
    for _ in range(12):
        visit.page.keyboard.press("Tab")
        focused = "getComputedStyle(document.activeElement)"
        assert "4px" in visit.page.evaluate(f"{focused}.boxShadow"), visit.page.evaluate(
            "document.activeElement.outerHTML"
        )


def test_nothing_is_asked_elsewhere_and_nothing_complained_of(site, visit):
    assert {urlsplit(url).netloc for url in visit.requests if not url.startswith("data:")} == {
        urlsplit(site.url).netloc
    }
    assert visit.complaints == []
