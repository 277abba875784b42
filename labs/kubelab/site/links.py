"""Links that lead nowhere, and what a page would ask others for: read off the written pages."""

from __future__ import annotations

from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes by which a page fetches something by itself.
FETCHED = {("img", "src"), ("script", "src"), ("iframe", "src"), ("link", "href"), ("source", "src"), ("image", "href")}


class Page(HTMLParser):
    """What a page links to, its anchors, and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if (tag, name) == ("a", "href") and value:
                self.links.append(value)
            if (tag, name) in FETCHED and value:
                self.fetched.append(value)


def lost(pages: Iterable[Path]) -> list[str]:
    """Links to pages or anchors that are not there, as "PAGE: LINK".  What leads out of the book is not followed."""
    found = []
    read = {path.name: Page(path.read_text(encoding="utf-8")) for path in pages}
    for name, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            to = read.get(unquote(parts.path) or name)
            if to is None or (parts.fragment and unquote(parts.fragment) not in to.anchors):
                found.append(f"{name}: {link}")
    return found
