"""How the site is made of these pages (Sphinx, MyST, Furo): `make docs` writes it to `build/site`.

Strict: a link that leads nowhere, an anchor that is not there, and a page that is in no menu end it. What it makes
needs no network.
"""

project = "Catalens"
author = "The Catalens authors"
extensions = ["myst_parser"]
root_doc = "index"
exclude_patterns: list[str] = []
html_theme = "furo"
html_title = "Catalens"
html_show_copyright = False
html_copy_source = False

# The anchors that readers of the repository have: GitHub's.
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header",  # pages begin with one heading of their own; a README's levels may skip
    "misc.highlighting_failure",  # an answer shortened with "..." is no JSON, and need not be
]
