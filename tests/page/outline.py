"""What tests of pages look for: tags that close, links that lead somewhere, nothing fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Outline(HTMLParser):
    """Collects tags with their attributes, and complains of tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def links(self):
        """Return the targets of links, and the places that are there."""
        places = {attrs["id"] for _, attrs in self.tags if "id" in attrs}
        return {attrs["href"].removeprefix("#") for tag, attrs in self.tags if tag == "a"}, places


def without_pictures(page: str) -> str:
    """Return the page without the bytes of its pictures."""
    return re.sub(r"base64,[A-Za-z0-9+/=]*", "", page)


def section(page: str, name: str) -> str:
    """Return the part of a page below the heading with this id."""
    return without_pictures(page).split(f'<h2 id="{name}">')[1].split("<h2")[0]
