"""The page of a report in a real browser: pictures are decoded, figures are the JSON's, nothing leaves the file."""

from __future__ import annotations

import json
import shutil

import pytest

from src_core.report.page import FORMS
from src_core.report.write import export_report
from src_core.store.project import Project
from tests.core.test_report_page import HOSTILE, hostile_project, hostile_section
from tests.reviewed import reviewed_project

webdriver = pytest.importorskip("selenium.webdriver", reason="the extra 'test' brings selenium")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="Chromium and chromedriver are not installed; scripts/test.sh installs them on Debian",
    ),
]

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Page and JSON of the small project, and of one whose names would be code elsewhere."""
    folder = tmp_path_factory.mktemp("reports")
    with Project.open(reviewed_project(folder)) as project:
        plain = export_report(project, folder / "plain")
    with Project.open(hostile_project(folder)) as project:
        hostile = export_report(project, folder / "hostile", sections=(hostile_section,))
    return {"plain": plain, "hostile": hostile}


def opened(browser, files):
    """Open the page; the figures of the JSON beside it."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what was said before
    browser.get(files[0].as_uri())
    return json.loads(files[1].read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["plain", "hostile"])
def test_pictures_are_decoded_and_nothing_leaves_the_file(browser, reports, name):
    data = opened(browser, reports[name])
    sizes = browser.execute_script(
        "return Promise.all([...document.images].map(image => image.decode().then("
        "() => [image.complete, image.naturalWidth, image.naturalHeight])))"
    )
    changed = sum(image["pixels_changed"] > 0 for image in data["images"])
    assert sizes == [[True, 256, 256]] * 3 * changed
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert reports[name][0].as_uri() in urls
    assert {url for url in urls if not url.startswith("data:")} == {reports[name][0].as_uri()}
    assert browser.execute_script("return document.scripts.length") == 0


def test_names_are_shown_as_they_are(browser, reports):
    opened(browser, reports["hostile"])
    body = browser.execute_script("return document.body.innerText")
    assert body.count(HOSTILE) >= 10
    assert browser.title == "a<b>&: report on cleaned masks"


def test_figures_of_the_page_are_those_of_the_json(browser, reports):
    data = opened(browser, reports["plain"])
    seen = browser.execute_script(
        "return [...document.querySelectorAll('data')].map(one => [one.dataset.figure, one.value, one.innerText])"
    )
    assert len(seen) > 60
    for place, value, text in seen:
        found = data
        for key in place.split("/"):
            found = found[int(key)] if isinstance(found, list) else found[key]
        assert (None if value == "" else float(value)) == found
        assert text in {form(found) for form in FORMS.values()}
    big = browser.execute_script("return [...document.querySelectorAll('.big')].map(one => one.innerText)")
    assert big == ["2 of 4", "33", "61.0 %", "6", "66.7 %", "4.0 s", "0.411", "3"]


def test_the_table_of_images_is_that_of_the_json(browser, reports):
    data = opened(browser, reports["plain"])
    rows = browser.execute_script(
        "return [...document.querySelectorAll('.images tbody tr')].map(row => [...row.cells].map(c => c.innerText))"
    )
    images = {image["name"]: image for image in data["images"]}
    assert [row[0] for row in rows] == ["a", "b", "c", "d"]  # most changed first
    for name, status, *figures in rows:
        image = images[name]
        assert status == image["status"] + (", trusted mask" if image["trusted"] else "")
        names = ("pixels_changed", "dice", "regions_decided", "regions_open", "trust_scored", "trust_now")
        assert [float(text) for text in figures] == [pytest.approx(image[key], abs=5e-4) for key in names]


@pytest.mark.parametrize("width", [800, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_follows_the_theme(browser, reports, width, scheme):
    opened(browser, reports["plain"])
    browser.set_window_size(width, 900)
    emulated = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
    ground, ink, scroll, room = browser.execute_script(
        "const style = getComputedStyle(document.body), page = document.documentElement;"
        "return [style.backgroundColor, style.color, page.scrollWidth, page.clientWidth]"
    )
    assert scroll <= room
    dark = [sum(map(int, color[4:-1].split(","))) < 3 * 128 for color in (ground, ink)]
    assert dark == [scheme == "dark", scheme == "light"]
