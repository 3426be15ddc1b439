"""The hours of an exchange: the forms in which the broker tells them, summer time, and any calendar written out and read back."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sessions import Hours, Session, parse
from sim.tws import hours as new_york

WEEK = (
    "20260105:0930-20260105:1600;20260106:0930-20260106:1600;20260107:0930-20260107:1600;"
    "20260108:0930-20260108:1600;20260109:0930-20260109:1600;20260110:CLOSED"
)
NEW_YORK = "US/Eastern"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def spans(hours: Hours) -> list[tuple[str, str]]:
    """Opening and closing of every session, UTC."""
    return [(f"{s.open:%m-%d %H:%M}", f"{s.close:%m-%d %H:%M}") for s in hours.sessions]


@pytest.mark.parametrize(
    ("told", "zone", "expected"),
    [
        ("20260105:0930-20260105:1600", NEW_YORK, [("01-05 14:30", "01-05 21:00")]),
        ("20260105:0930-1600", NEW_YORK, [("01-05 14:30", "01-05 21:00")]),
        ("20260105:0930-1600;20260106:CLOSED", "America/New_York", [("01-05 14:30", "01-05 21:00")]),
        (
            "20260105:0930-1600",
            "EST (Eastern Standard Time)",
            [("01-05 14:30", "01-05 21:00")],
        ),
        ("20260706:0930-1600", "EST", [("07-06 13:30", "07-06 20:00")]),  # the name means the place
        (
            "20260105:0930-1200,1300-1600",
            "Hongkong",
            [("01-05 01:30", "01-05 04:00"), ("01-05 05:00", "01-05 08:00")],
        ),
        (
            "20260105:0930-20260105:1130,20260105:1230-20260105:1500",
            "JST",
            [("01-05 00:30", "01-05 02:30"), ("01-05 03:30", "01-05 06:00")],
        ),
        ("20260104:1700-20260105:1600", "US/Central", [("01-04 23:00", "01-05 22:00")]),  # futures
        ("20260105:1700-1600", "US/Central", [("01-04 23:00", "01-05 22:00")]),
        ("20260105:0000-2400", "UTC", [("01-05 00:00", "01-06 00:00")]),
        (
            "20260306:0930-1600;20260307:CLOSED;20260308:CLOSED;20260309:0930-1600",
            NEW_YORK,
            [("03-06 14:30", "03-06 21:00"), ("03-09 13:30", "03-09 20:00")],  # clocks go forward between
        ),
        (
            "20261030:0930-1600;20261031:CLOSED;20261101:CLOSED;20261102:0930-1600",
            NEW_YORK,
            [("10-30 13:30", "10-30 20:00"), ("11-02 14:30", "11-02 21:00")],  # and back
        ),
        (" 20260105:0930-1600 ; ", NEW_YORK, [("01-05 14:30", "01-05 21:00")]),
        ("20260110:CLOSED", NEW_YORK, []),
    ],
)
def test_forms(told: str, zone: str, expected: list[tuple[str, str]]) -> None:
    """Every form in which hours are told gives the same kind of sessions, in UTC."""
    assert spans(parse(told, zone)) == expected


@pytest.mark.parametrize(
    ("told", "zone"),
    [
        ("", NEW_YORK),
        (WEEK, ""),
        (WEEK, "Mars/Olympus"),
        (WEEK, "../etc/passwd"),
        ("closed", NEW_YORK),
        ("20260105", NEW_YORK),
        ("20260105:", NEW_YORK),
        ("20260105:0930", NEW_YORK),
        ("20260105:9:30-16:00", NEW_YORK),
        ("20260105:0930-2500", NEW_YORK),
        ("20261305:0930-1600", NEW_YORK),
        ("20260105:0930-20260104:1600", NEW_YORK),
        ("20260105:0930-20260205:1600", NEW_YORK),
        ("20260105:0930-1600;nonsense", NEW_YORK),
        ("20260105:0930-1600,1500-1700", NEW_YORK),
    ],
)
def test_what_is_not_understood_is_not_known(told: str, zone: str) -> None:
    """Half understood is not understood: then nobody knows whether it is open."""
    hours = parse(told, zone)
    assert hours == Hours()
    assert hours.is_open(at("2026-01-05 15:00")) is None
    assert hours.closed_last(at("2026-01-05 15:00")) is None
    assert hours.next_open(at("2026-01-05 15:00")) is None


@pytest.mark.parametrize(
    ("now", "is_open", "closed", "opens"),
    [
        ("2026-01-05 04:59", None, None, "2026-01-05 14:30"),  # the day before, in New York
        ("2026-01-05 14:29", False, None, "2026-01-05 14:30"),
        ("2026-01-05 14:30", True, None, "2026-01-06 14:30"),
        ("2026-01-05 20:59", True, None, "2026-01-06 14:30"),
        ("2026-01-05 21:00", False, "2026-01-05", "2026-01-06 14:30"),
        ("2026-01-06 18:00", True, "2026-01-05", "2026-01-07 14:30"),
        ("2026-01-09 21:00", False, "2026-01-09", None),
        ("2026-01-10 18:00", False, "2026-01-09", None),  # closed is known, not unknown
        ("2026-01-11 05:00", None, "2026-01-09", None),
    ],
)
def test_questions(now: str, is_open: bool | None, closed: str | None, opens: str | None) -> None:
    """Open or not, which session closed last, when the next one opens; and None beyond what was told."""
    hours = parse(WEEK, NEW_YORK)
    last = hours.closed_last(at(now))
    assert hours.is_open(at(now)) is is_open
    assert (last and last.day) == (closed and date.fromisoformat(closed))
    assert hours.next_open(at(now)) == (opens and at(opens))


def test_a_lunch_break_is_no_close() -> None:
    """A day with two sessions is over after the second."""
    hours = parse("20260105:0930-1200,1300-1600", "Hongkong")
    assert hours.closed_last(at("2026-01-05 04:30")) is None
    assert hours.is_open(at("2026-01-05 04:30")) is False
    assert hours.closed_last(at("2026-01-05 08:00")) == hours.sessions[1]


def test_a_gap_in_the_days_is_not_known() -> None:
    """A day that is left out is neither open nor closed."""
    hours = parse("20260105:0930-1600;20260107:0930-1600", NEW_YORK)
    assert hours.is_open(at("2026-01-05 15:00")) is True
    assert hours.is_open(at("2026-01-06 15:00")) is None


def test_sessions_remembered() -> None:
    """On a Saturday the broker tells nothing of Friday: that is remembered, and what is told now counts for its own days."""
    friday = parse("20260109:0930-1600;20260110:CLOSED", NEW_YORK)
    told = parse("20260110:CLOSED;20260111:CLOSED;20260112:0930-1300", NEW_YORK)
    wrong = parse("20260112:0930-1600", NEW_YORK)
    both = told.with_past((*friday.sessions, *wrong.sessions))
    assert spans(both) == [("01-09 14:30", "01-09 21:00"), ("01-12 14:30", "01-12 18:00")]
    assert both.closed_last(at("2026-01-10 10:00")) == friday.sessions[0]
    assert both.with_past(both.sessions) == both


@given(
    st.dates(date(2007, 1, 2), date(2060, 1, 1)),
    st.sampled_from(["America/New_York", "Europe/London", "Asia/Tokyo", "Australia/Sydney"]),
    st.lists(
        st.one_of(st.none(), st.tuples(st.integers(4 * 60, 719), st.integers(720, 1438))),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
)
def test_written_out_and_read_back(
    first: date, zone: str, days: list[tuple[int, int] | None], old: bool
) -> None:
    """Any calendar reads back as the local times that it was made of, over every change of clocks, in both forms."""
    parts, expected = [], []
    for number, span in enumerate(days):
        day = first + timedelta(number)
        if span is None:
            parts.append(f"{day:%Y%m%d}:CLOSED")
            continue
        opening, closing = (time(minutes // 60, minutes % 60) for minutes in span)
        parts.append(f"{day:%Y%m%d}:{opening:%H%M}-{'' if old else f'{day:%Y%m%d}:'}{closing:%H%M}")
        moments = [datetime.combine(day, t, ZoneInfo(zone)).astimezone(UTC) for t in (opening, closing)]
        expected.append(Session(moments[0], moments[1], day))
    hours = parse(";".join(parts), zone)
    assert list(hours.sessions) == expected
    for session in expected:
        assert hours.is_open(session.open) is True
        assert hours.is_open(session.close) is False
        assert hours.closed_last(session.close) == session
        assert hours.next_open(session.open - timedelta(microseconds=1)) == session.open


@given(st.integers(0, 40 * 365 * 24 * 60), st.integers(0, 5 * 24 * 60))
def test_agrees_with_the_calendar_of_new_york(start: int, minutes: int) -> None:
    """Holidays, half days and summer time come out as in the exchange's own calendar."""
    begun = datetime(2008, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    told = parse(new_york.wire_hours(begun, regular=True), NEW_YORK)
    now = begun + timedelta(minutes=minutes)
    if told.is_open(now) is not None:
        assert told.is_open(now) is new_york.is_open(now)
    opens = told.next_open(now)
    assert opens is None or opens == new_york.next_open(now)


@given(st.text("0123456789:;,-CLOSED", max_size=60), st.text(max_size=12))
def test_never_raises(told: str, zone: str) -> None:
    """Whatever the broker says, there is an answer."""
    hours = parse(told, zone)
    assert hours.is_open(datetime(2026, 1, 5, 15, tzinfo=UTC)) in (True, False, None)
