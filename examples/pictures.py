"""Makes the pictures of the README and of the guides: `make pictures`.

The model of `net.py` as Keras plots it, the same prepared, and its report page in a browser; the model of
docs/reading_a_report.md prepared, and its page. Graphviz's `dot` and Chromium have to be there. Seconds in
the pages differ from run to run.
"""

import os
import re
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import keras
from PIL import Image
from playwright.sync_api import sync_playwright

import kerasfx

DOCS = Path(__file__).resolve().parents[1] / "docs"
FOLDER = DOCS / "images"
# Wide enough for the columns side by side.
WIDTH, HEIGHT = 1300, 900
COLOURS = 256
FLAGS = ("--no-sandbox", "--disable-gpu")


def photograph(net: keras.Model, prepared: keras.Model, picture: Path, chosen: str) -> None:
    """Writes what a browser shows of the report page of a model, with one layer chosen."""
    comparison = kerasfx.compare(net, prepared, by_layer=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        kerasfx.report(prepared).to_html(page, comparison=comparison)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.get_by_text(chosen, exact=True).first.click()
        tab.screenshot(path=picture, full_page=True)
        browser.close()
    Image.open(picture).convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def of_the_readme() -> None:
    """Makes those of `net.py`."""
    # By this path the page names the file, without the folders of a machine.
    os.chdir(Path(__file__).parent)
    net = runpy.run_path("net.py", run_name="net")["Net"]()
    prepared = kerasfx.prepare_model(net, keras.Input((16, 8)))
    keras.utils.plot_model(net, FOLDER / "before.png", dpi=96)
    kerasfx.plot(prepared, FOLDER / "after.png", show_shapes=False, dpi=80)
    photograph(net, prepared, FOLDER / "report.png", chosen="blocks_0_multiply")


def of_the_guide() -> None:
    """Makes those of the model that stands first in docs/reading_a_report.md."""
    code = re.findall(r"```python\n(.*?)```", (DOCS / "reading_a_report.md").read_text(), re.DOTALL)[0]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("my_models.py").write_text(code)
        net = runpy.run_path("my_models.py", run_name="my_models")["Net"]()
        prepared = kerasfx.prepare_model(net, keras.random.normal((8, 8), seed=0))
        kerasfx.plot(prepared, FOLDER / "model.png")
        photograph(net, prepared, FOLDER / "report_page.png", chosen="gate")
        os.chdir(DOCS)


def main() -> int:
    """Makes the pictures."""
    keras.utils.set_random_seed(0)
    of_the_readme()
    keras.utils.clear_session()  # so that its model is not the second of its name
    of_the_guide()
    for picture in sorted(FOLDER.iterdir()):
        print(f"{picture.name}: {picture.stat().st_size / 1024:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
