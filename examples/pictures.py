"""Makes the pictures of the README: `make pictures`.

The model of `net.py` as Keras plots it, the same prepared, and its report page in a browser. Graphviz's `dot`
and Chromium have to be there. Seconds in the page differ from run to run.
"""

import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import keras
from PIL import Image
from playwright.sync_api import sync_playwright

import kerasfx

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
# Wide enough for the columns side by side.
WIDTH, HEIGHT = 1300, 900
CHOSEN = "blocks_0_multiply"
COLOURS = 256
FLAGS = ("--no-sandbox", "--disable-gpu")


def photograph(page: Path, picture: Path) -> None:
    """Writes what a browser shows of a page, with one layer chosen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.get_by_text(CHOSEN, exact=True).first.click()
        tab.screenshot(path=picture, full_page=True)
        browser.close()
    Image.open(picture).convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def main() -> int:
    """Makes the pictures."""
    keras.utils.set_random_seed(0)
    # By this path the page names the file, without the folders of a machine.
    os.chdir(Path(__file__).parent)
    net = runpy.run_path("net.py")["Net"]()
    prepared = kerasfx.prepare_model(net, keras.Input((16, 8)))
    keras.utils.plot_model(net, FOLDER / "before.png", dpi=96)
    kerasfx.plot(prepared, FOLDER / "after.png", show_shapes=False, dpi=80)
    comparison = kerasfx.compare(net, prepared, by_layer=True)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        kerasfx.report(prepared).to_html(page, comparison=comparison)
        photograph(page, FOLDER / "report.png")
    for picture in sorted(FOLDER.iterdir()):
        print(f"{picture.name}: {picture.stat().st_size / 1024:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
