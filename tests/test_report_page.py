"""The page of a report, in a real browser: what it shows, how one moves in it, and that it asks nobody."""

import contextlib
import re
import shutil
import sys
import tomllib
from pathlib import Path

import keras
import page_records
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

import kerasfx
from kerasfx.reporting.page import render
from kerasfx.reporting.verdict import BEFORE_REPLACING

pytestmark = pytest.mark.once

DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium")
    assert program, "the page is tested in a browser: install chromium (`make programs` does)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens the page of a record, or a text; at the end nothing was asked for and nothing went wrong."""
    with contextlib.ExitStack() as contexts:

        def opened(record, size=DESKTOP, at="", **options):
            file = tmp_path / "page.html"
            file.write_text(record if isinstance(record, str) else render(record), encoding="utf-8")
            context = browser.new_context(viewport=size, **options)
            contexts.callback(context.close)
            page = context.new_page()
            asked, wrong = [], []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: wrong.append(message.text))
            page.on("pageerror", lambda error: wrong.append(str(error)))
            contexts.callback(lambda: _ended_well(file.as_uri(), asked, wrong))
            page.goto(file.as_uri() + at)
            return page

        yield opened


def _ended_well(url, asked, wrong):
    assert [one for one in asked if not one.startswith((url, "data:"))] == []
    assert wrong == []


def chosen(page):
    """The row that is chosen, and those that belong to it on the other side."""
    rows = page.evaluate(
        """() => ["[aria-selected=true]", ".partner"].map(
            (which) => [...document.querySelectorAll(which)].map((row) => row.id))"""
    )
    assert len(rows[0]) == 1
    return rows[0][0], rows[1]


def focused(page):
    return page.evaluate("document.activeElement.id")


def go_to(page, row):
    """Follows an address within the page."""
    page.evaluate("hash => { location.hash = hash }", row)
    arrived(page, row)


def arrived(page, row):
    page.wait_for_function("row => document.activeElement.id === row", arg=row)


def visible(page, side):
    return page.locator(f"#{side} .row:visible").evaluate_all("rows => rows.map(row => row.id)")


def in_view(page, row):
    """Whether a row lies within the list that scrolls, and on the screen."""
    return page.evaluate(
        """(id) => { const row = document.getElementById(id), list = row.closest(".list");
        const [a, b] = [row.getBoundingClientRect(), list.getBoundingClientRect()];
        return a.top >= b.top - 1 && a.bottom <= b.bottom + 1 && a.height > 0; }""",
        row,
    )


# What it says.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "equal bit for bit"),
        ({"comparison": None}, "not compared"),
        (
            {
                "comparison": {
                    **page_records.comparison([{"name": "a", "path": ""}] * 2, "none"),
                    "checks": [],
                }
            },
            "not compared",
        ),
        ({"result": None, "layers": [], "comparison": None}, "explained, not made"),
        ({"unchanged": True, "comparison": None}, "unchanged"),
    ],
    ids=["equal", "not_compared", "no_check", "explained", "unchanged"],
)
def test_the_verdict_in_words(change, words):
    assert f"<title>net: {words} · kerasfx</title>" in render({**page_records.transformer(1), **change})


@pytest.mark.parametrize(("difference", "words"), [("small", "equal within 1e-06"), ("large", "NOT equal")])
def test_the_verdict_of_one_that_differs(difference, words):
    assert f"<title>net: {words} · kerasfx</title>" in render(page_records.transformer(1, difference))


def test_what_was_compared_in_inference_alone_is_not_called_equal_in_all():
    record = page_records.transformer(1)
    record["comparison"]["checks"].pop()
    assert "<title>net: equal bit for bit in inference, not compared in training · kerasfx</title>" in render(
        record
    )
    assert "Training was not compared." in render(record)


def test_what_was_replaced_after_the_comparison_is_not_called_equal_in_silence():
    record = page_records.transformer(1)
    record["comparison"]["notes"].append(BEFORE_REPLACING)
    assert "<title>net: before replacing as asked equal bit for bit · kerasfx</title>" in render(record)


def test_what_cannot_be_prepared_is_no_plan():
    record = {**page_records.transformer(1), "result": None, "layers": [], "comparison": None}
    record["before"][0]["became"] = "whole"
    page = render(record)
    assert "<title>net: cannot be prepared as it is · kerasfx</title>" in page
    assert "kerasfx.prepare_model(model)" not in page


def test_what_loads_the_result_is_said():
    record = page_records.transformer(1)
    assert "<code>import kerasfx</code> and what stays whole load it" in render(record)
    record["layers"] = [layer for layer in record["layers"] if layer["kind"] != "whole"]
    assert "<code>import kerasfx</code> is all that loads it" in render(record)


def test_a_part_of_which_not_all_was_compared_is_not_called_exact(show):
    record = page_records.transformer(2, "small")
    names = [layer["name"] for layer in record["layers"]]
    record["comparison"]["layers"] = [page_records.layer_difference(name, 0.0) for name in names[1:-2]]
    page = show(record)
    differences = [
        page.locator(f"[id='path={path}'] .difference").inner_text()
        for path in ("", "embed", "blocks[0]", "blocks[1]")
    ]
    page.locator("[id='path=blocks[1]']").click()
    assert "5 of 7 layers were compared, the worst: exact" in page.locator("#details").inner_text()
    page.locator("[id='layer=blocks_1_add']").click()
    assert "nothing to compare with" in page.locator("#details").inner_text()
    assert differences == ["exact, 13/15", "exact", "exact", "exact, 5/7"]


def test_a_layer_that_is_not_within_tolerance_is_named_and_linked(show):
    page = show(page_records.transformer(3, "large"))
    page.get_by_role("link", name="blocks_2_matmul").first.click()
    assert chosen(page) == ("layer=blocks_2_matmul", ["path=blocks[2]"])
    assert "3.1e-2 absolute" in page.locator("#details").inner_text()
    assert page.locator("[id='layer=blocks_2_add'] .difference").inner_text() == "not comparable ≠"
    assert page.locator("[id='path='] .difference").inner_text() == "not comparable ≠"


def test_alike_findings_are_told_once():
    html = render(page_records.transformer(12))
    assert "Kept whole on request (11)" in html
    assert html.count("stays whole, as asked") == 1
    assert "<code>Rotary</code> asks for a value" in html


def test_a_message_of_several_lines_is_shown_by_lines(show):
    record = page_records.transformer(1)
    record["findings"][0]["what"] = "`Rotary` is kept whole\n  where: net.py:7\n  do:    leaves=['rotary']"
    page = show(record)
    assert page.locator(".urgent .note").inner_text() == "where: net.py:7"
    assert page.locator(".urgent .do").first.inner_text() == "DO leaves=['rotary']"


def test_without_a_script_all_is_there(show):
    page = show(page_records.transformer(2, "small"), java_script_enabled=False)
    text = page.locator("body").inner_text()
    for words in (
        "equal within 1e-06",
        "What to act on",
        "leaves=",
        "training outputs",
        "MultiHeadAttention",
        "blocks_1_down",
    ):
        assert words in text


# How one moves in it.


def test_choosing_shows_the_partners_and_the_details(show):
    page = show(page_records.transformer(30))
    page.locator("[id='path=blocks[0]']").click()
    assert chosen(page) == (
        "path=blocks[0]",
        [f"layer=blocks_0_{x}" for x in ["norm", "attend", "rotary", "up", "down", "matmul", "add"]],
    )
    go_to(page, "layer=blocks_28_up")
    assert chosen(page) == ("layer=blocks_28_up", ["path=blocks[28].up"])
    assert in_view(page, "layer=blocks_28_up")
    assert in_view(page, "path=blocks[28].up")
    details = page.locator("#details").inner_text()
    for words in (
        "blocks_28_up",
        "keras.layers.Dense",
        "Dense of the original",
        "/home/ann/models/net.py:12",
        "float32",
    ):
        assert words in details
    page.get_by_role("link", name="blocks_28_down").click()
    arrived(page, "layer=blocks_28_down")
    page.locator("[id='layer=blocks_28_rotary']").click()
    page.wait_for_url("**/page.html#layer=blocks_28_rotary")


def test_an_address_chooses_a_layer(show):
    page = show(page_records.transformer(3), at="#path=blocks%5B1%5D.up")
    assert chosen(page) == ("path=blocks[1].up", ["layer=blocks_1_up"])
    assert focused(page) == "path=blocks[1].up"


def test_the_tree_goes_by_the_keyboard(show):
    page = show(page_records.transformer(3))
    page.locator("[id='path=']").focus()
    for key, then in [
        ("ArrowDown", "path=embed"),
        ("ArrowDown", "path=blocks[0]"),
        ("ArrowRight", "path=blocks[0].norm"),
        ("ArrowLeft", "path=blocks[0]"),
        ("ArrowLeft", "path=blocks[0]"),
        ("ArrowDown", "path=blocks[1]"),
        ("ArrowUp", "path=blocks[0]"),
        ("ArrowRight", "path=blocks[0]"),
        ("End", "path=blocks[2].drop"),
        ("Home", "path="),
        ("ArrowDown", "path=embed"),
        ("Enter", "layer=embed"),
        ("Enter", "path=embed"),
    ]:
        page.keyboard.press(key)
        assert focused(page) == then, key
    assert chosen(page) == ("path=embed", ["layer=embed"])


def test_one_row_of_a_list_is_in_the_order_of_tabs(show):
    page = show(page_records.transformer(3))
    page.locator("[id='layer=blocks_1_up']").click()
    assert page.locator("#before [tabindex='0'], #after [tabindex='0']").evaluate_all(
        "rows => rows.map(row => row.id)"
    ) == [
        "path=blocks[1].up",
        "layer=blocks_1_up",
    ]


def test_searching(show):
    page = show(page_records.transformer(3))
    page.keyboard.press("/")
    assert focused(page) == "search"
    page.keyboard.type("blocks[1] DENSE")
    assert page.locator("#found").inner_text() == "2 of 23 before, 2 of 23 after"
    assert visible(page, "before") == ["path=", "path=blocks[1]", "path=blocks[1].up", "path=blocks[1].down"]
    assert visible(page, "after") == ["layer=blocks_1_up", "layer=blocks_1_down"]
    page.keyboard.press("Enter")
    assert focused(page) == "path=blocks[1].up"
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    assert len(visible(page, "before")) == len(visible(page, "after")) == 23


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        ("Kept whole", ["blocks[0].rotary", "blocks[1].rotary"], ["blocks_0_rotary", "blocks_1_rotary"]),
        ("Unused", ["blocks[0].drop", "blocks[1].drop"], []),
        ("Functions", [], ["blocks_0_matmul", "blocks_1_matmul"]),
        ("Differs", [], ["blocks_1_matmul", "blocks_1_add"]),
    ],
)
def test_filters(show, words, before, after):
    page = show(page_records.transformer(2, "large"))
    page.get_by_role("button", name=words).click()
    around = {"path=", "path=blocks[0]", "path=blocks[1]"}
    assert [row for row in visible(page, "before") if row not in around] == [
        f"path={path}" for path in before
    ]
    assert visible(page, "after") == [f"layer={name}" for name in after]
    page.get_by_role("button", name=words).click()
    assert len(visible(page, "after")) == 16


def test_folding_all(show):
    page = show(page_records.transformer(3))
    page.get_by_role("button", name="Collapse all").click()
    assert visible(page, "before") == ["path=", "path=embed", *(f"path=blocks[{b}]" for b in range(3))]
    page.locator("[id='path=blocks[1]'] .fold").click()
    assert len(visible(page, "before")) == 5 + 6
    page.get_by_role("button", name="Expand all").click()
    assert len(visible(page, "before")) == 23


def test_a_phone_shows_one_side_at_a_time(show):
    page = show(page_records.transformer(3, "large"), PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert visible(page, "after") == []
    page.locator("[id='path=blocks[0].up']").click()
    page.locator("#details").get_by_role("link", name="blocks_0_up").click()
    assert visible(page, "before") == []
    assert chosen(page) == ("layer=blocks_0_up", ["path=blocks[0].up"])
    page.get_by_role("button", name="Close").click()
    assert not page.locator("#details").is_visible()


def test_printed_it_is_whole(show):
    page = show(page_records.transformer(15))
    page.emulate_media(media="print")
    heights = page.locator(".list").evaluate_all(
        "lists => lists.map(list => [list.scrollHeight, list.clientHeight])"
    )
    assert all(whole <= shown + 1 for whole, shown in heights)
    assert page.locator("[id='path=blocks[14].drop']").is_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(show, size, scheme):
    page = show(page_records.transformer(2, "large"), size, color_scheme=scheme)
    page.locator("summary").first.click()
    page.locator("[id='path=blocks[0].up']").click()
    found = Axe().run(page).response["violations"]
    assert [(x["id"], x["nodes"][0]["html"]) for x in found] == []


# What must not happen.

NASTY = [
    "</script><script>document.title = 'broken'</script>",
    "<!--<script>",
    "<img src=x onerror=\"document.title='broken'\">",
    "a\"b'c&amp;d`e`\u2028f",
    "שלום/مرحبا",
    "模型/🙂",
    "very" * 200 + "/long",
    "100%[x]#?",
]


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_names_are_names_whatever_is_in_them(show, name):
    record = page_records.transformer(1)
    record["model"] = name
    record["before"].append(page_records.part(name, name, "", layers=[name]))
    record["layers"].append(page_records.layer(name, name, name, inputs=[name]))
    record["findings"].append(
        {"kind": "warning", "path": name, "what": name, "hint": name, "source": page_records.source()}
    )
    page = show(record)
    assert page.locator("h1").text_content() == name
    assert page.locator("#after .name").last.text_content() == name
    assert page.title().startswith(name[:3])
    page.locator("#after .row").last.click()
    assert chosen(page) == (f"layer={name}", [f"path={name}"])
    assert page.locator("#details h3").text_content() == name
    assert page.evaluate("document.documentElement.scrollWidth") == DESKTOP["width"]


def test_a_path_that_is_no_unicode_does_not_spoil_the_file():
    record = page_records.transformer(1)
    record["findings"][0]["source"] = {"file": "/home/\udcff/net.py", "line": 1, "text": ""}
    assert "/home/?/net.py" in render(record)


def test_no_script_but_its_own_runs(browser):
    intruder = "</h1><script>document.title = 'broken'</script><img src='https://example.com/x.png'>"
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.set_content(render(page_records.transformer(1)).replace("</h1>", intruder))
    assert page.title() == "net: equal bit for bit · kerasfx"
    assert len([text for text in said if "Content Security Policy" in text]) == 2
    page.close()


# Large models.


def seconds_of(page, act):
    """Processor time of the page for what happens until the next frame is shown, the least of three tries."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    return min(_once(session, act) for _ in range(3))


def _once(session, act):
    start = _processor_time(session)
    act()
    session.send("Runtime.evaluate", {"expression": FRAME, "awaitPromise": True})
    return _processor_time(session) - start


FRAME = "new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))"


def _processor_time(session):
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def test_five_thousand_layers_stay_usable(show):
    page = show(page_records.transformer(720, "small"))
    assert page.locator("#after .row").count() == 5042
    type_in = "words => { search.value = words; search.dispatchEvent(new Event('input')) }"
    keys = [lambda words=words: page.evaluate(type_in, words) for words in ("d", "dense", "dense 100", "")]
    assert [key for key in keys if seconds_of(page, key) > 0.1] == []
    for name in ("Expand all", "Collapse all", "Kept whole", "Kept whole"):
        assert seconds_of(page, page.get_by_role("button", name=name).click) < 0.2
    assert seconds_of(page, page.locator("[id='path=blocks[3]']").click) < 0.1
    go_to(page, "layer=blocks_700_up")
    assert in_view(page, "layer=blocks_700_up")
    assert in_view(page, "path=blocks[700].up")
    assert seconds_of(page, page.reload) < 1.5


# Where it goes.


class Net(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.hidden = keras.layers.Dense(4)

    def call(self, x):
        return keras.ops.tanh(self.hidden(x)) * 2.0


@pytest.fixture(scope="module")
def prepared():
    return kerasfx.prepare_model(Net(), keras.Input((4,)))


def test_the_page_of_a_real_model(show, prepared, tmp_path):
    original = Net()
    kerasfx.copy_weights(prepared, original) if original.built else original(keras.ops.ones((1, 4)))
    comparison = kerasfx.compare(original, prepared, by_layer=True)
    text = kerasfx.report(prepared).to_html(tmp_path / "net.html", comparison=comparison)
    assert (tmp_path / "net.html").read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["net.html"]
    page = show(text)
    page.locator("[id='layer=hidden']").click()
    assert chosen(page) == ("layer=hidden", ["path=hidden"])
    assert Path(__file__).name in page.locator("#details").inner_text()


def test_a_comparison_of_other_models_is_refused(prepared):
    one = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="one")
    with pytest.raises(ValueError, match=r"of 'one' and 'one'.*this is the report of 'net_prepared'"):
        kerasfx.report(prepared).to_html(comparison=kerasfx.compare(one, one, modes=("inference",)))


@pytest.mark.parametrize(
    ("name", "error", "advice"),
    [
        ("net.keras", ValueError, "net.html"),
        ("", IsADirectoryError, "report.html"),
        ("there/is/no/net.html", FileNotFoundError, "mkdir -p"),
    ],
)
def test_where_no_page_can_be_written_is_said_first(prepared, tmp_path, monkeypatch, name, error, advice):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(error, match=re.escape(advice)):
        kerasfx.report(prepared).to_html(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_leaves_the_old_one(prepared, tmp_path, monkeypatch):
    target = tmp_path / "net.html"
    target.write_text("old")
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: path.write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kerasfx.report(prepared).to_html(target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_without_jinja2_it_says_what_to_install(prepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(
        ImportError, match=re.escape('do:    pip install "kerasfx[report]" (or pip install jinja2)')
    ):
        kerasfx.report(prepared).to_html()
    extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(requirement.startswith("jinja2") for requirement in extras["report"])
