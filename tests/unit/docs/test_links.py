"""Links of the documentation lead somewhere, and every page of it can be found: told without what makes the site."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in DOCS.rglob("*.md"))]
MENUS = (DOCS / "index.md", DOCS / "adr" / "index.md")


@pytest.fixture(scope="module")
def markdown(support):
    return support("markdown")


def dead(markdown, page):
    """The links of a page that lead nowhere."""
    found = []
    for link in markdown.links(page):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        reached = path.is_file() and path.is_relative_to(ROOT)
        if not reached or (anchor and anchor not in markdown.anchors(path)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_and_anchors_resolve(markdown, page):
    assert dead(markdown, ROOT / page) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_a_page_of_the_site_links_to_nothing_that_is_not_on_it(markdown, page):
    inside = [link for link in markdown.links(ROOT / page) if not re.match(r"[a-z]+:|#", link)]
    outside = [link for link in inside if not (ROOT / page).parent.joinpath(link).resolve().is_relative_to(DOCS)]
    assert outside == []


def test_what_leads_nowhere_is_told(markdown, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# A *fine* `heading`, no. 2\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Here\n[a](there.md) [b](there.md#a-fine-heading-no-2) [c](there.md#twice-1) [d](#here) `[code](no.md)`\n"
        "[e](https://shop.example/x) ![f](gone.svg) [g](there.md#twice-2) [h](#there) [i](../outside.md) [j](.)\n"
        "```\n# Not a heading\n[k](block.md)\n```\n[l](#not-a-heading)\n"
    )
    expected = ["gone.svg", "there.md#twice-2", "#there", "../outside.md", ".", "#not-a-heading"]
    assert dead(markdown, page) == expected


def test_no_page_has_the_name_of_one_that_the_site_makes_itself():
    assert not [name for name in ("search", "genindex") if (DOCS / f"{name}.md").exists()]


def test_every_page_of_the_site_is_in_one_menu(markdown):
    listed = []
    for menu in MENUS:
        for block in markdown.blocks(menu):
            assert block.language == "{toctree}"
            for entry in re.findall(r"^[^:\s].*$", block.code, flags=re.MULTILINE):
                found = sorted(menu.parent.glob(f"{entry}.md" if "*" not in entry else entry))
                assert found, entry
                listed += found
    assert sorted([*listed, MENUS[0]]) == sorted(DOCS.rglob("*.md"))
