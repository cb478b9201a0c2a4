"""Text that tries to be more than text, and what a reader of Markdown makes of it."""

from __future__ import annotations

import markdown_it
from markdown_it.token import Token

EVIL = (
    "<script>alert(1)</script> ![x](http://evil.example/x.png) [y](http://evil.example) `|` **z**\n# h\x1b[31m\u202e $"
)


def tokens(markdown: str, *, html: bool) -> list[Token]:
    """All tokens of a text, those inside others too."""
    blocks = markdown_it.MarkdownIt("commonmark", {"html": html}).enable("table").parse(markdown)
    return [token for block in blocks for token in (block, *(block.children or []))]


def pictures(markdown: str) -> list[str]:
    """Where pictures lie, after a check that there is neither HTML nor a link, nor a control character."""
    assert all(line.isprintable() for line in markdown.split("\n"))
    for html in (True, False):
        found = tokens(markdown, html=html)
        assert not [token for token in found if token.type in ("html_block", "html_inline", "link_open")]
        assert [token for token in found if "alert(1)" in token.content]
    return [str(token.attrs["src"]) for token in found if token.type == "image"]
