"""What Chromium shows of a picture: on a canvas of 224 x 224 pixels, over white."""

import base64
import shutil
from collections.abc import Sequence

from playwright.sync_api import sync_playwright

from gateway.imaging import preprocess
from tests.pictures import raw_png
from tests.pictures.kinds import Kind

PATH = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb"]
AT_ONCE = 100
COMPARE = """async pairs => {
    const shown = async (text) => {
        const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
        const image = new Image();
        image.src = URL.createObjectURL(new Blob([bytes]));
        try { await image.decode(); } catch { return null; }
        const canvas = document.createElement("canvas");
        canvas.width = canvas.height = 224;
        const context = canvas.getContext("2d", { willReadFrequently: true });
        context.fillStyle = "white";
        context.fillRect(0, 0, 224, 224);
        context.drawImage(image, 0, 0, 224, 224);
        URL.revokeObjectURL(image.src);
        return context.getImageData(0, 0, 224, 224).data;
    };
    return Promise.all(pairs.map(async ([file, ours]) => {
        const [one, other] = await Promise.all([shown(file), shown(ours)]);
        if (one === null) return null;
        let sum = 0;
        for (let at = 0; at < one.length; at++) sum += Math.abs(one[at] - other[at]);
        return sum / (224 * 224 * 3);
    }));
}"""
"""Mean difference of each pair of files; null where the first is not shown. Alpha is 255 in both."""


def differences(kinds: Sequence[Kind]) -> list[float | None]:
    """Mean difference, of 255, between Chromium's picture and the gateway's; None where Chromium shows no picture.

    Raises:
        GatewayError: the gateway refuses one of them.
    """
    pairs = [tuple(map(base64.b64encode, (kind.data, raw_png(preprocess(kind.data))))) for kind in kinds]
    texts = [[one.decode() for one in pair] for pair in pairs]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PATH, args=FLAGS)
        page = browser.new_page()
        parts = [page.evaluate(COMPARE, texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)]
        browser.close()
    return [mean for part in parts for mean in part]
