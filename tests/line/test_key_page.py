"""The upload page of a gateway that wants an API key, in a real browser."""

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import pictures
from tests.faults.gateway import running_gateway
from tests.faults.replica import running_replica
from tests.line.test_pages import NAMES, browser

pytestmark = [pytest.mark.slow, pytest.mark.browser]
KEY = "the-key-of-this-test"

__all__ = ["browser"]  # the fixture


def test_the_page_asks_for_the_key_and_then_works(browser: Page, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"shop:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    (tmp_path / "photo.jpg").write_bytes(pictures.jpeg())
    settings = {"api_keys_file": str(tmp_path / "keys")}
    with (
        running_replica() as replica,
        running_gateway(replica.address, tmp_path / "log", api_key=KEY, **settings) as gateway,
    ):
        browser.goto(f"http://127.0.0.1:{gateway.port}/")
        expect(browser.locator("#model")).to_contain_text("Send your API key", timeout=30_000)
        browser.fill("#key", "a wrong one")
        browser.press("#key", "Enter")
        expect(browser.locator("#model")).to_contain_text("not known", timeout=30_000)
        browser.fill("#key", KEY)
        browser.press("#key", "Enter")
        expect(browser.locator("#model")).to_contain_text("4 classes", timeout=30_000)
        expect(browser.locator("#ask-key")).to_be_hidden()
        browser.set_input_files("#file", tmp_path / "photo.jpg")
        expect(browser.locator(NAMES)).to_have_count(4, timeout=30_000)
