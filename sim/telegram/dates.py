"""Moments in a text that every reader sees in the own time zone: <tg-time> and tg://time links. Pure."""

import re

from sim.telegram.entities import Entity, ParseError
from sim.telegram.links import number, own_link

_FORMAT = re.compile("[rR]|[tTdDwW]*")


def date_time(unix_time: int, wanted: str) -> Entity | None:
    """The fields of the entity, None where there is no such moment. ParseError for an unknown format.

    `unix_time` counts seconds; the format comes back in the order in which Telegram writes it.
    """
    if not _FORMAT.fullmatch(wanted):
        raise ParseError("Invalid date format used")
    if unix_time <= 0:
        return None
    shown = wanted.lower() if wanted in ("r", "R") else _ordered(wanted)
    return {"unix_time": unix_time} | ({"date_time_format": shown} if shown else {})


def _ordered(wanted: str) -> str:
    """The day of the week, the date, the time; the short form where both are asked for."""
    chosen = [next((form for form in forms if form in wanted), "") for forms in ("wW", "dD", "tT")]
    return "".join(chosen).replace("W", "w")


def attribute_seconds(value: str) -> int:
    """The number at the beginning of an attribute, 0 where there is none; too large ones wrap around at 32 bits."""
    match = re.match("-?[0-9]+", value)
    seconds = int(match[0]) if match else 0
    return (seconds + (1 << 31)) % (1 << 32) - (1 << 31)


def linked_date_time(url: str) -> Entity | None:
    """What a tg://time link stands for, None where it is none."""
    parameters = own_link(url, "time")
    if parameters is None:
        return None
    moments = [number(value, 32) for key, value in parameters if key == "unix"]
    wanted = dict(parameters).get("format", "")
    if min(moments, default=0) <= 0 or not _FORMAT.fullmatch(wanted):
        return None
    return date_time(moments[-1], wanted)
