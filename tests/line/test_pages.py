"""The upload page and the docs page in a real browser, on the whole line."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.line import Line
from tests import pictures

pytestmark = [pytest.mark.slow, pytest.mark.browser]

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
NAMES = "#predictions li .name"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=[*QUIET, "--disable-sync"])
        page = launched.new_page()
        page.set_default_timeout(30_000)
        yield page
        launched.close()


@pytest.fixture
def page(browser: Page, line: Line) -> Page:
    """The upload page, which knows its model."""
    browser.goto(f"http://127.0.0.1:{line.port}/")
    expect(browser.locator("#model")).to_contain_text("137 classes", timeout=30_000)
    return browser


def test_the_page_says_that_the_model_is_a_demo(page: Page) -> None:
    expect(page.locator("#demo")).to_contain_text("no photo of these species taught it")


def test_a_chosen_photo_gets_five_names(page: Page, photos: list[Path]) -> None:
    page.set_input_files("#file", photos[0])
    expect(page.locator(NAMES)).to_have_count(5, timeout=30_000)
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#predictions li .confidence").first).to_have_text(re.compile(r"^\d+\.\d %$"))


def test_what_the_model_is_sure_of_comes_first_and_so_does_that_it_is_not(page: Page, photos: list[Path]) -> None:
    crab, salp = (next(photo for photo in photos if photo.stem == name) for name in ("LF57OR8", "DUL92KN"))
    page.set_input_files("#file", crab)
    expect(page.locator("#name")).to_have_text("King crabs", timeout=30_000)
    expect(page.locator("#why")).to_have_text(re.compile(r"^\d+\.\d %$"))
    page.set_input_files("#file", salp)
    expect(page.locator("#name")).to_have_text("Not sure", timeout=30_000)


def test_a_sample_of_the_model_can_be_clicked(page: Page) -> None:
    page.get_by_role("button", name="Starfish (drawn)").click()
    expect(page.locator("#name")).to_have_text("Echinoderms", timeout=30_000)
    page.get_by_role("button", name="Cloth (drawn)").click()
    expect(page.locator("#name")).to_have_text("Not sure", timeout=30_000)


def test_a_dropped_photo_gets_names_too(page: Page) -> None:
    transfer = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
            return transfer;
        }""",
        list(pictures.png((64, 48))),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(page.locator(NAMES)).to_have_count(5, timeout=30_000)
    classes = page.evaluate("async () => (await (await fetch('/v1/labels')).json()).classes")
    assert set(page.locator(NAMES).all_text_contents()) <= {one["display_name"] for one in classes}


def test_a_file_that_is_no_picture_is_answered_with_what_to_do(page: Page) -> None:
    page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"not a picture"})
    expect(page.locator("#problem")).to_contain_text("send JPEG, PNG, WebP or GIF", timeout=30_000)
    expect(page.locator(NAMES)).to_have_count(0)
    expect(page.locator("#invite")).to_be_visible()


def test_the_page_can_be_used_from_the_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"


def test_an_upload_can_be_tried_out_on_the_docs_page(browser: Page, line: Line, photos: list[Path]) -> None:
    complaints: list[str] = []  # such as a violation of the page's Content-Security-Policy
    browser.on("console", lambda message: complaints.append(message.text))
    browser.goto(f"http://127.0.0.1:{line.port}/docs")
    operation = browser.locator(".opblock-post", has_text="Classify one picture")
    operation.locator(".opblock-summary").click()
    operation.locator("input[type=file]").set_input_files(photos[0])
    operation.locator("button.execute").click()
    expect(operation.locator(".live-responses-table .response .response-col_status").first).to_contain_text("200")
    expect(operation.locator(".live-responses-table")).to_contain_text("predictions")
    assert complaints == []
