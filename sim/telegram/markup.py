"""The parse modes of the Bot API: which parser reads a text, and how a refusal is worded. Pure."""

import re

from sim.telegram.entities import Entity, ParseError
from sim.telegram.errors import bad_request
from sim.telegram.html import parse_html
from sim.telegram.markdown import parse_markdown
from sim.telegram.markdown_legacy import parse_markdown_legacy

PARSERS = {"html": parse_html, "markdownv2": parse_markdown, "markdown": parse_markdown_legacy}

_HALF = re.compile("[\ud800-\udfff]")


def parse(text: str, mode: str) -> tuple[str, list[Entity]]:
    """The plain text and the entities of a markup; `mode` in any case, and "" or "none" for a plain text.

    ApiError where Telegram refuses: an unknown mode, half a letter, broken markup.
    """
    mode = mode.lower()
    if mode not in ("", "none", *PARSERS):
        raise bad_request("unsupported parse_mode")
    if _HALF.search(text):
        raise bad_request("text must be encoded in UTF-8")
    if mode not in PARSERS:
        return text, []
    try:
        return PARSERS[mode](text)
    except ParseError as error:
        raise bad_request(f"can't parse entities: {error}") from None
