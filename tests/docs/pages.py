"""Reads the pages of the documentation as far as the tests need it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
#: Pages that stand where GitHub looks for them.
AT_THE_ROOT = sorted(ROOT.glob("*.md"))

_BLOCK = re.compile(r"^(?:<!-- (?P<note>[^\n]*?) -->\n\n?)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_WRITTEN = re.compile(r"^cat >>? (?P<name>\S+) <<'END'\n(?P<text>.*?)^END$", re.M | re.S)
_LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the comment that stands before it, if any."""

    language: str
    text: str
    note: str | None


def page_name(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [Block(found["language"], found["text"], found["note"]) for found in _BLOCK.finditer(page.read_text())]


def written(page: Path) -> dict[str, str]:
    """The files that a page's blocks of `sh` write from here documents (`cat > NAME <<'END'`), by name."""
    text = "".join(block.text for block in blocks(page) if block.language == "sh")
    return {found["name"]: found["text"] for found in _WRITTEN.finditer(text)}


def links(page: Path) -> list[str]:
    """Targets of all links of a page, outside of fenced blocks."""
    return [found["target"] for found in _LINK.finditer(_BLOCK.sub("", page.read_text()))]


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
