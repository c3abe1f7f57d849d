"""The documentation site: `make docs` builds it into build/docs, and a warning is an error."""

import os
import re
import shutil
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

import kerasfx

project = "kerasfx"
author = "the authors of kerasfx"
version = release = kerasfx.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
# Notebooks are shown with the outputs that they were committed with; the tests run them.
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
# What stands in single backticks in a docstring is a name where there is one, and code otherwise.
default_role = "py:obj"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
# Attributes that a docstring explains are not listed a second time.
napoleon_use_ivar = True
napoleon_custom_sections = [("Call arguments", "params_style")]

# A name that is written wrong in a `{py:...}` role or a signature is a warning. These are not ours to link.
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", r"(?s).*"),
    # Types in signatures: of others, and of rooms that are not public.
    ("py:.*", r"(keras|np|numpy|collections|types|contextlib|os|pathlib)(\..*)?"),
    ("py:class", r"kerasfx\.\w+\.(\w+\.)?\w+|(dict|tuple|list|set)\[.*|args|kwargs"),
]

html_theme = "furo"
html_title = "kerasfx"
html_static_path = ["_static"]
html_css_files = ["kerasfx.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_remove_prompts = True
# What a command or an example prints is not there to be copied.
copybutton_selector = "div:not(.highlight-output):not(.highlight-error) > div.highlight > pre"

# Files of the repository that are pages here, too. On GitHub the links lead to the files.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "README.md": "index.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/tools.md": "all_tools.md",
}
for notebook in (ROOT / "examples").glob("*.ipynb"):
    PAGES[f"examples/{notebook.name}"] = f"notebooks/{notebook.name}"
    # Sphinx reads what lies below docs.
    (ROOT / "docs" / "notebooks").mkdir(exist_ok=True)
    shutil.copy(notebook, ROOT / "docs" / PAGES[f"examples/{notebook.name}"])
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def with_links_to_pages(text: str, file: Path, page: Path) -> str:
    """The text of `file`, shown on `page`, with links that hold there."""

    def link(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(file.parent / found[1]))
        if not target.is_relative_to(ROOT):
            return found[0]
        target = ROOT / "docs" / PAGES.get(str(target.relative_to(ROOT)), target)
        return "](" + os.path.relpath(target, page.parent) if target.exists() else found[0]

    return LINK.sub(link, text)


def read_page(app: Sphinx, name: str, source: list[str]) -> None:
    """Mend the links of a page."""
    page = Path(app.env.doc2path(name))
    is_notebook = page.suffix == ".ipynb"
    source[0] = with_links_to_pages(source[0], ROOT / "examples" / page.name if is_notebook else page, page)


def read_included(_app: Sphinx, path: Path, page: str, source: list[str]) -> None:
    """Mend the links of a file that a page includes."""
    file = Path(os.path.normpath(ROOT / "docs" / path))
    source[0] = with_links_to_pages(source[0], file, ROOT / "docs" / f"{page}.md")


def keep_first_line(_app: Sphinx, what: str, _name: str, _of: object, _: object, lines: list[str]) -> None:
    """Let napoleon not take what stands before a colon in the first line of a property for its type."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]


def without_factories(
    _app: Sphinx, _what: str, _name: str, _of: object, _: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """A signature that can be read as Python: what dataclasses say of a default that is made anew cannot."""
    return signature and signature.replace("<factory>", "..."), returned


def setup(app: Sphinx) -> None:
    """Register what blocks of the guides are called besides `python`: `output` and `error`."""
    for name in ("output", "error"):
        app.add_lexer(name, TextLexer)
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    app.connect("autodoc-process-docstring", keep_first_line, priority=100)
    app.connect("autodoc-process-signature", without_factories)
