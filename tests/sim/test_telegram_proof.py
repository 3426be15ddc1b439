"""A sample of the long run (`make oracle`), controls that must fail, and texts made to stall a parser."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.telegram import found
from sim.telegram.entities import Entity, tidy
from sim.telegram.errors import ApiError
from sim.telegram.markup import parse
from tests.sim import telegram_oracle, telegram_proof
from tests.sim.telegram_kit import Kit, telegram

MODES = list(telegram_proof.MARKUPS)


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    async with telegram() as kit:
        yield kit


@pytest.mark.parametrize("mode", MODES)
def test_random_texts_are_read_kept_and_refused_as_telegram_does(mode: str) -> None:
    counts, differences = telegram_proof.run(mode, 400, 150, seed=20_000)
    assert not differences, telegram_proof.shrunk(mode, *differences[0][:2])
    assert counts["accepted"] >= 400
    assert counts["refused at a byte offset"] >= 30
    assert counts["entities"] >= 400
    assert counts["found"] >= 200
    assert counts["kept"] >= 100


def shifted(text: str, mode: str) -> tuple[str, list[Entity]]:
    plain, entities = parse(text, mode)
    return plain, [entity | {"offset": entity["offset"] + 1} for entity in entities]


def without_italics(text: str, mode: str) -> tuple[str, list[Entity]]:
    plain, entities = parse(text, mode)
    return plain, [entity for entity in entities if entity["type"] != "italic"]


def swallowing(text: str, mode: str) -> tuple[str, list[Entity]]:
    try:
        return parse(text, mode)
    except ApiError:
        return text, []


def miscounting(text: str, mode: str) -> tuple[str, list[Entity]]:
    try:
        return parse(text, mode)
    except ApiError as error:
        raise ApiError(error.code, error.description.replace("byte offset 1", "byte offset 2")) from None


def counting_code_points(text: str, mode: str) -> tuple[str, list[Entity]]:
    plain, entities = parse(text, mode)
    units = plain.encode("utf-16-le")
    return plain, [
        entity
        | {
            "length": len(
                units[entity["offset"] * 2 :][: entity["length"] * 2].decode("utf-16-le", "replace")
            )
        }
        for entity in entities
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parser", [shifted, without_italics, swallowing, miscounting, counting_code_points])
def test_a_broken_parser_does_not_pass(mode: str, parser: telegram_proof.Parser) -> None:
    _, differences = telegram_proof.run(mode, 200, 80, seed=1, parser=parser)
    assert {what for what, *_ in differences} == {"parsed"}
    shortest = min((markup for _, markup, *_ in differences), key=len)
    assert len(telegram_proof.shrunk(mode, "parsed", shortest, parser)) < 40


@pytest.mark.parametrize(
    ("name", "broken", "what"),
    [
        ("find_entities", lambda text: [], "found"),
        ("tidy", lambda text, entities: (text, entities), "kept"),
    ],
)
def test_a_broken_finder_or_keeper_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: Any, what: str
) -> None:
    monkeypatch.setattr(telegram_proof, name, broken)
    _, differences = telegram_proof.run("HTML", 100, 10, seed=1)
    assert {kind for kind, *_ in differences} == {what}


def test_every_ending_of_a_domain_is_one_to_telegram() -> None:
    endings = json.loads(Path(found.__file__).with_name("tlds.json").read_text("utf-8"))
    text = "\n".join(f"a.{ending}" for ending in endings)
    assert len(endings) > 1400
    assert len(telegram_oracle.find_entities(text)) == len(endings)
    assert [text[f.start : f.end] for f in found.find(text)] == text.split("\n")


@pytest.mark.parametrize("ending", ["png", "pdf", "py", "md", "exe", "localdomain", "internal", "tldx"])
def test_other_endings_are_what_they_are_to_telegram(ending: str) -> None:
    assert bool(found.find(f"file.{ending}")) == bool(telegram_oracle.find_entities(f"file.{ending}"))


@pytest.mark.parametrize("mode", [*MODES, ""])
@pytest.mark.parametrize("text", ["a\ud83d", "\ude00b"])
def test_half_a_letter_is_refused_in_every_mode(mode: str, text: str) -> None:
    with pytest.raises(ApiError, match="Bad Request: text must be encoded in UTF-8"):
        parse(text, mode)


def test_the_modes_are_told_apart_in_any_case() -> None:
    assert parse("*b* _i_ <i>", "MARKDOWN")[1] == parse("*b* _i_ <i>", "markdown")[1]
    assert parse("<b>*</b>", "none") == ("<b>*</b>", [])
    with pytest.raises(ApiError, match="Bad Request: unsupported parse_mode"):
        parse("x", "bbcode")


@pytest.mark.parametrize("mode", [*MODES, ""])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"chat_id=%d&parse_mode=%s&text=a\xff"),
        ("application/x-www-form-urlencoded", b"chat_id=%d&parse_mode=%s&text=a%%ED%%A0%%BD"),
        ("application/json", b'{"chat_id": %d, "parse_mode": "%s", "text": "a\\ud83d"}'),
    ],
)
async def test_bytes_that_are_no_text_are_refused(kit: Kit, mode: str, kind: str, body: bytes) -> None:
    url = f"{kit.server.address}/bot{kit.server.token}/sendMessage"
    data = body % (kit.user, mode.encode())
    async with kit.http.post(url, data=data, headers={"Content-Type": kind}) as response:
        answer = await response.json()
    assert answer["description"] == "Bad Request: text must be encoded in UTF-8"


async def test_bytes_that_are_no_text_are_refused_elsewhere_too(kit: Kit) -> None:
    answer = await kit.call("setMyDescription", description="a\ud83d")
    assert answer["description"] == "Bad Request: strings must be encoded in UTF-8"


async def test_the_limit_counts_the_letters_that_are_left_of_the_markup(kit: Kit) -> None:
    letters = "<b>😀</b>&lt;" * 2048
    message = await kit.done("sendMessage", chat_id=kit.user, text=letters, parse_mode="HTML")
    assert message["text"] == "😀<" * 2048
    refused = await kit.call("sendMessage", chat_id=kit.user, text=letters + "<i>x</i>", parse_mode="HTML")
    assert refused["description"] == "Bad Request: message is too long"


async def test_the_first_markdown_and_moments_reach_the_person(kit: Kit) -> None:
    text = "*Sold* [AAPL](example.com) _now_"
    message = await kit.done("sendMessage", chat_id=kit.user, text=text, parse_mode="Markdown")
    assert message["text"] == "Sold AAPL now"
    assert [entity["type"] for entity in message["entities"]] == ["bold", "text_link", "italic"]
    text = "at <tg-time unix='1647531900' format='t'>22:45</tg-time>, see example.com"
    message = await kit.done("sendMessage", chat_id=kit.user, text=text, parse_mode="HTML")
    moment = {"unix_time": 1647531900, "date_time_format": "t"}
    assert message["entities"] == [
        {"type": "date_time", "offset": 3, "length": 5} | moment,
        {"type": "url", "offset": 14, "length": 11},
    ]


LONG = {
    "HTML": "<b>Buy</b> <i>10</i> AAPL &amp; sell <a href='https://example.com/x?y=z'>😀 MSFT</a>, <code>@x</code>\n",
    "MarkdownV2": "*Buy* _10_ AAPL & sell [😀 MSFT](https://example.com/x?y=z), `@x`\n",
    "Markdown": "*Buy* _10_ AAPL & sell [😀 MSFT](https://example.com/x?y=z), `@x`\n",
}

STALLERS = {
    "nested": ("HTML", "<b>" * 20_000 + "x" + "</b>" * 20_000),
    "nested links": ("HTML", "<a href=a.b>" * 5_000 + "x" + "</a>" * 5_000),
    "quotes": ("HTML", "<blockquote>x</blockquote><code>y</code><b>z</b>" * 2_000),
    "open tags": ("HTML", "<b " * 20_000),
    "attributes": ("HTML", "<b" + " x=1" * 20_000 + ">"),
    "ampersands": ("HTML", "&" * 50_000),
    "references": ("HTML", "&#" + "1" * 50_000),
    "brackets": ("MarkdownV2", "[" * 20_000),
    "links": ("MarkdownV2", "[x](" * 20_000),
    "marks": ("MarkdownV2", "*_" * 20_000),
    "fences": ("MarkdownV2", "```" * 20_000),
    "legacy": ("Markdown", "[x](" * 20_000),
    "legacy fences": ("Markdown", "```x" * 20_000),
    "dots": ("", "a." * 20_000),
    "ats": ("", "a@" * 20_000 + "b.com"),
    "slashes": ("", "http://" * 10_000),
    "paths": ("", "a.com/" * 10_000),
    "digits": ("", "1" * 50_000),
    "cards": ("", "4242 " * 10_000),
    "hashes": ("", "#a" * 20_000),
    "dollars": ("", "$A" * 20_000),
    "commands": ("", "/a@" * 20_000),
    "colons": ("", "1:" * 20_000),
    "returns": ("", "\r" * 50_000),
    "strikes": ("", "x\u0333" * 20_000),
    "spaces": ("", " " * 50_000),
    "tg": ("", "tg://" * 10_000),
    "brackets in a path": ("", "a.com/" + "(" * 20_000),
    "letters": ("", "x" * 50_000 + ".com"),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_message_of_full_length_is_read_in_two_milliseconds(mode: str) -> None:
    text = LONG[mode] * (4096 // len(LONG[mode]))
    fastest = min(_seconds(lambda: parse(text, mode)) for _ in range(20))
    assert fastest < 0.002


@pytest.mark.parametrize("name", STALLERS)
def test_no_text_stalls_the_simulator(name: str) -> None:
    """Tens of thousands of characters, more than any message has, in seconds of work at most."""
    mode, text = STALLERS[name]

    def read() -> None:
        with suppress(ApiError):
            tidy(*parse(text, mode))

    assert _seconds(read) < 2


def _seconds(work: Any) -> float:
    """Of work, not of waiting for other processes."""
    start = process_time()
    work()
    return process_time() - start


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80), st.sampled_from([*MODES, "", "none", "odd"]))
def test_any_text_is_read_or_refused(text: str, mode: str) -> None:
    with suppress(ApiError):
        plain, entities = tidy(*parse(text, mode))
        size = len(plain.encode("utf-16-le")) // 2
        assert all(0 <= e["offset"] < e["offset"] + e["length"] <= size for e in entities)


@pytest.mark.parametrize("mode", MODES)
def test_an_accident_with_a_given_seed_is_the_same_again(mode: str) -> None:
    def told() -> Counter[str]:
        return telegram_proof.run(mode, 30, 10, seed=7)[0]

    assert told() == told()
