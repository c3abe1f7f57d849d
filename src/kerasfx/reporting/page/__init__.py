"""A report as one page of HTML, which a browser shows without asking the network for anything.

The page is made of the dict of `Report.to_dict()` alone: `view.py` says what is to be seen, `page.html.j2`
how; `page.css` and `page.js` are put into it. Without JavaScript it shows the same lists; with it they are
searched, folded and follow each other.
"""

from kerasfx.reporting.page.files import refuse_unwritable, write
from kerasfx.reporting.page.render import render
from kerasfx.reporting.page.view import compared

__all__ = ["compared", "refuse_unwritable", "render", "write"]
