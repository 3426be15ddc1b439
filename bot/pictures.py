"""Pictures for the chat, drawn when they are sent from facts that are small enough to be stored. Too slow for the loop: in a thread.

matplotlib is imported with the first picture. Only its objects are used, never pyplot, so there is nothing global to leak; one picture at
a time. The picture is 1280 x 720 points, which is what Telegram shows without scaling it down, with letters large enough for a phone.
Where labels could meet, each kind has a row of its own, and inside a row they are moved apart.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any

from bot.text import money, plain_price
from core.model import Leg, Mode, plain
from core.options.payoff import Payoff, payoff

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

WIDTH, HEIGHT, DPI = 1280, 720, 100
LEFT, RIGHT, TOP, BOTTOM = 150, 40, 236, 148  # what the plot leaves free on each side
FONT = "DejaVu Sans"  # comes with matplotlib, so that every machine draws the same
PAPER, INK, GREY, FAINT = "#fcfcfa", "#1d2630", "#66717d", "#d9dee3"
GREEN, RED, BLUE = "#12864a", "#c8372d", "#2264c7"
TODAY = (3.0, 1.4)  # dashes
POINTS = 61
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, slots=True)
class PayoffFacts:
    """What a payoff picture shows, all of it money for the whole quantity. Prices are of the underlying.

    `kinks` are (price, money at expiry), `last_slope` money per dollar behind the last; None is unlimited (of `max_gain`, `max_loss`) or
    not known (`spot`, `mode`). `today` are (price, money if it stood there today), empty where nobody knows.
    """

    label: str
    currency: str
    mode: Mode | None
    spot: Decimal | None
    strikes: tuple[Decimal, ...]
    kinks: tuple[tuple[Decimal, Decimal], ...]
    last_slope: Decimal
    break_evens: tuple[Decimal, ...]
    max_gain: Decimal | None
    max_loss: Decimal | None
    today: tuple[tuple[Decimal, Decimal], ...]


def payoff_facts(
    label: str,
    legs: Sequence[Leg],
    price: Decimal,
    quantity: Decimal,
    *,
    spot: Decimal | None,
    currency: str = "USD",
    mode: Mode | None = None,
    worth: Callable[[list[float]], list[float]] | None = None,
) -> dict[str, Any]:
    """The facts of `payoff_picture`, ready for JSON: of `quantity` combinations of `legs` entered at the signed `price` per unit.

    `worth` says what ONE combination has gained at each of some prices today (core.options.pricing.worth_today); it makes this call one for
    a thread. Without it the picture shows the expiry only. Raises ValueError as core.options.payoff.payoff does.
    """
    line = payoff(legs, price)
    strikes = tuple(sorted({leg.option.strike for leg in legs if leg.option}))
    low, high = span([*strikes, *line.break_evens, *([] if spot is None else [spot])])
    today: tuple[tuple[Decimal, Decimal], ...] = ()
    if worth is not None:
        step = float(high - low) / (POINTS - 1)
        prices = [max(float(low) + step * place, 0.01) for place in range(POINTS)]
        today = tuple(
            (Decimal(f"{at:.4f}"), Decimal(f"{gain:.2f}") * quantity)
            for at, gain in zip(prices, worth(prices), strict=True)
        )
    return plain(
        PayoffFacts(
            label,
            currency,
            mode,
            spot,
            strikes,
            tuple((at, money * quantity) for at, money in zip(line.kinks, line.values, strict=True)),
            line.last_slope * quantity,
            line.break_evens,
            None if line.max_gain is None else line.max_gain * quantity,
            None if line.max_loss is None else line.max_loss * quantity,
            today,
        )
    )


def span(points: Sequence[Decimal]) -> tuple[Decimal, Decimal]:
    """The prices that a picture covers so that all of `points` are well inside. Raises ValueError without any."""
    low, high = min(points), max(points)
    room = max((high - low) * Decimal("0.6"), high * Decimal("0.04"))
    return max(low - room, Decimal(0)), high + room


def draw(kind: str, facts: Mapping[str, Any]) -> bytes:
    """The picture of that name, a PNG. Raises KeyError for a name that there is none of, or facts that lack something."""
    with _ONE_AT_A_TIME:
        try:
            return KINDS[kind](facts)
        finally:
            # A figure and its parts hold on to one another. Left to itself, the collector takes them when there are 60 MB of them.
            gc.collect(1)


def payoff_picture(facts: Mapping[str, Any]) -> bytes:
    """A PNG of gain and loss at expiry and today, from what `payoff_facts` made (or the same read from JSON)."""
    drawn = BytesIO()
    payoff_canvas(facts).print_png(drawn)
    return drawn.getvalue()


def payoff_canvas(facts: Mapping[str, Any]) -> "FigureCanvasAgg":
    """The same before it becomes a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    told = _read(facts)
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (LEFT / WIDTH, BOTTOM / HEIGHT, (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT),
        facecolor=PAPER,
    )
    _curves(axes, told)
    _header(figure, canvas, told)
    _scale(axes, told)
    _marks(figure, canvas, axes, told)
    _footer(figure, canvas, told)
    return canvas


KINDS: Mapping[str, Callable[[Mapping[str, Any]], bytes]] = {"payoff": payoff_picture}


def _read(facts: Mapping[str, Any]) -> PayoffFacts:
    def number(told: str | None) -> Decimal | None:
        return None if told is None else Decimal(told)

    def pairs(told: Sequence[Sequence[str]]) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple((Decimal(at), Decimal(money)) for at, money in told)

    return PayoffFacts(
        facts["label"],
        facts["currency"],
        None if facts["mode"] is None else Mode(facts["mode"]),
        number(facts["spot"]),
        tuple(map(Decimal, facts["strikes"])),
        pairs(facts["kinks"]),
        Decimal(facts["last_slope"]),
        tuple(map(Decimal, facts["break_evens"])),
        number(facts["max_gain"]),
        number(facts["max_loss"]),
        pairs(facts["today"]),
    )


def _size(pixels: float) -> float:
    """A letter's height as matplotlib counts it."""
    return pixels * 72 / DPI


def _write(
    figure: "Figure", x: float, y: float, words: str, pixels: float, colour: str = INK, **more: Any
) -> "Text":
    """Words with their baseline at x from the left and y from the top. A dollar sign is one, and begins no formula."""
    return figure.text(
        x / WIDTH,
        1 - y / HEIGHT,
        words,
        fontsize=_size(pixels),
        family=FONT,
        color=colour,
        parse_math=False,
        **({"ha": "left", "va": "baseline"} | more),
    )


def _fitting(
    figure: "Figure", canvas: "FigureCanvasAgg", text: "Text", room: float, smallest: float = 0.6
) -> None:
    """Make words smaller until they fit into `room`, and cut what is still too long."""
    whole, full = text.get_text(), float(text.get_fontsize())
    wide = _width(canvas, text)
    if wide > room:
        text.set_fontsize(full * max(room / wide, smallest))
    while _width(canvas, text) > room and len(whole) > 1:
        whole = whole[:-1]
        text.set_text(whole.rstrip() + "…")


def _width(canvas: "FigureCanvasAgg", text: "Text") -> float:
    return float(text.get_window_extent(canvas.get_renderer()).width)


def _curves(axes: "Axes", told: PayoffFacts) -> None:
    """Gain and loss as lines and areas, the zero line, and the range of both axes."""
    line = Payoff(tuple(at for at, _ in told.kinks), tuple(money for _, money in told.kinks), told.last_slope)
    low, high = span([*told.strikes, *told.break_evens, *([] if told.spot is None else [told.spot])])
    prices = sorted({low, high, *(at for at in (*line.kinks, *told.break_evens) if low < at < high)})
    points = [(float(at), float(line.at(at))) for at in prices]
    today = [(float(at), float(money)) for at, money in told.today if low <= at <= high]
    heights = [money for _, money in (*points, *today)] + [0.0]
    room = (max(heights) - min(heights) or 1.0) * 0.09
    axes.set_xlim(float(low), float(high))
    axes.set_ylim(min(heights) - room, max(heights) + room)
    axes.axhline(0, color=GREY, linewidth=2.2, zorder=2)
    for (x1, y1), (x2, y2) in pairwise(points):
        colour = GREEN if y1 + y2 > 0 else RED if y1 + y2 < 0 else GREY
        axes.fill_between([x1, x2], [y1, y2], 0, color=colour, alpha=0.16, linewidth=0, zorder=1)
        axes.plot([x1, x2], [y1, y2], color=colour, linewidth=5, solid_capstyle="round", zorder=4)
    if today:
        axes.plot(*zip(*today, strict=True), color=BLUE, linewidth=3.2, dashes=TODAY, zorder=3)


def _scale(axes: "Axes", told: PayoffFacts) -> None:
    """Money at the left, with faint lines; prices are written by `_marks`."""
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_ylim()
    edge = (high - low) * 0.07  # nothing of the scale reaches into the rows above and below the plot
    every = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    ticks = [float(tick) for tick in every if low + edge <= tick <= high - edge]
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    axes.set_yticks(ticks)
    axes.set_yticklabels(
        [_short(tick, step, told.currency) for tick in ticks],
        fontsize=_size(26),
        family=FONT,
        color=GREY,
        parse_math=False,
    )
    axes.set_xticks([])
    axes.tick_params(length=0, pad=10)
    axes.grid(axis="y", color=FAINT, linewidth=1.2, zorder=0)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GREY)


def _short(amount: float, step: float, currency: str) -> str:
    """Money on a scale: as short as its steps allow."""
    if abs(amount) < step / 1000:
        return "0"
    size, letter = next((each for each in ((1e6, "M"), (1e3, "k")) if step >= each[0]), (1.0, ""))
    shown, unit = amount / size, step / size
    decimals = next((n for n in (0, 1, 2) if abs(unit * 10**n - round(unit * 10**n)) < 1e-6), 2)
    mark = money(Decimal(0), currency).removesuffix("0.00")
    return f"{'-' if shown < 0 else '+'}{mark}{abs(shown):,.{decimals}f}{letter}"


def _whole(amount: Decimal | None, currency: str, sign: int) -> str:
    """What can be gained or lost: without cents where there are none."""
    if amount is None:
        return "unlimited"
    return money(sign * amount, currency, signed=amount != 0).removesuffix(".00")


def _header(figure: "Figure", canvas: "FigureCanvasAgg", told: PayoffFacts) -> None:
    """The name, whose money it is, and the three figures that matter."""
    room = WIDTH - 40 - RIGHT
    if told.mode is not None:
        badge = _write(
            figure,
            WIDTH - RIGHT - 14,
            60,
            told.mode,
            26,
            "white",
            ha="right",
            weight="bold",
            bbox={
                "boxstyle": "round,pad=0.35",
                "facecolor": RED if told.mode is Mode.LIVE else GREY,
                "edgecolor": "none",
            },
        )
        room -= int(_width(canvas, badge)) + 60
    _fitting(figure, canvas, _write(figure, 40, 64, told.label, 42, weight="bold"), room)
    ends = " / ".join(plain_price(_cents(at)) for at in told.break_evens) or "none"
    name = "BREAK-EVEN" if len(told.break_evens) < 2 else "BREAK-EVENS"
    columns = (
        ("MAX GAIN", _whole(told.max_gain, told.currency, 1), GREEN),
        ("MAX LOSS", _whole(told.max_loss, told.currency, -1), RED),
        (name, ends, INK),
    )
    for x, (caption, words, colour) in zip((40, 400, 760), columns, strict=True):
        _write(figure, x, 118, caption, 23, GREY)
        wide = 340 if x < 760 else WIDTH - RIGHT - x
        _fitting(figure, canvas, _write(figure, x, 162, words, 40, colour, weight="bold"), wide)


def _cents(price: Decimal) -> Decimal:
    return price.quantize(Decimal("0.01"))


def _marks(figure: "Figure", canvas: "FigureCanvasAgg", axes: "Axes", told: PayoffFacts) -> None:
    """The spot above the plot, strikes and prices in a row below it, break-evens in the next."""
    low, high = axes.get_xlim()
    width = WIDTH - LEFT - RIGHT

    def x_of(price: float) -> float:
        return LEFT + (price - low) / (high - low) * width

    floor = HEIGHT - BOTTOM
    if told.spot is not None:
        spot = float(told.spot)
        axes.axvline(spot, color=INK, linewidth=2, linestyle=(0, (2, 2)), zorder=2)
        words = _write(
            figure,
            x_of(spot),
            TOP - 12,
            f"now {plain_price(_cents(told.spot))}",
            28,
            ha="center",
            weight="bold",
        )
        _keep_inside(canvas, words, x_of(spot))
    for strike in told.strikes:
        axes.axvline(float(strike), color=FAINT, linewidth=1.6, zorder=0.5)
    strikes = [
        (float(at), _write(figure, 0, floor + 38, f"{at.normalize():,f}", 28, ha="center", weight="bold"))
        for at in told.strikes
    ]
    taken = _apart(figure, canvas, [(x_of(at), text) for at, text in strikes], floor)
    for tick in _round_prices(low, high):
        text = _write(figure, x_of(tick), floor + 38, f"{tick:,.10g}", 26, GREY, ha="center")
        half = _width(canvas, text) / 2
        reach = (x_of(tick) - half - 18, x_of(tick) + half + 18)
        if any(a < reach[1] and b > reach[0] for a, b in taken) or reach[0] < LEFT - 40 or reach[1] > WIDTH:
            text.remove()
    ends = []
    for at in told.break_evens:
        axes.plot(
            [float(at)],
            [0],
            marker="o",
            markersize=13,
            color=PAPER,
            markeredgecolor=INK,
            markeredgewidth=3,
            zorder=5,
        )
        axes.plot(
            [float(at)] * 2,
            [axes.get_ylim()[0], 0],
            color=INK,
            linewidth=1.6,
            linestyle=(0, (1, 2)),
            zorder=2,
        )
        words = _write(figure, 0, floor + 80, f"even {plain_price(_cents(at))}", 26, INK, ha="center")
        ends.append((x_of(float(at)), words))
    _apart(figure, canvas, ends, floor + 42)


def _keep_inside(canvas: "FigureCanvasAgg", text: "Text", x: float) -> None:
    half = _width(canvas, text) / 2
    text.set_x(min(max(x, half + 10), WIDTH - half - 10) / WIDTH)


def _apart(
    figure: "Figure", canvas: "FigureCanvasAgg", row: list[tuple[float, "Text"]], top: float
) -> list[tuple[float, float]]:
    """Put centred words at their places, moved apart as far as they must be. Returns what they take of the row."""
    if not row:
        return []
    row = sorted(row, key=lambda entry: entry[0])
    halves = [_width(canvas, text) / 2 for _, text in row]
    room = sum(halves) * 2 + 18 * (len(row) - 1)
    if room > WIDTH - 20:
        for _, text in row:
            text.set_fontsize(float(text.get_fontsize()) * (WIDTH - 20) / room * 0.97)
        halves = [_width(canvas, text) / 2 for _, text in row]
    places = [x for x, _ in row]
    for _ in range(200):
        moved = False
        for n in range(len(row) - 1):
            missing = halves[n] + halves[n + 1] + 18 - (places[n + 1] - places[n])
            if missing > 0.5:
                places[n], places[n + 1], moved = places[n] - missing / 2, places[n + 1] + missing / 2, True
        places = [min(max(x, half + 8), WIDTH - half - 8) for x, half in zip(places, halves, strict=True)]
        if not moved:
            break
    for (x, text), place in zip(row, places, strict=True):
        text.set_x(place / WIDTH)
        if abs(place - x) > 6:
            _pointer(figure, x, place, top)
    return [(x - half, x + half) for x, half in zip(places, halves, strict=True)]


def _pointer(figure: "Figure", x: float, place: float, top: float) -> None:
    """A short line from a place on the axis to its words that had to move."""
    from matplotlib.lines import Line2D

    figure.add_artist(
        Line2D(
            [x / WIDTH, place / WIDTH],
            [1 - top / HEIGHT, 1 - (top + 13) / HEIGHT],
            color=GREY,
            linewidth=1.6,
        )
    )


def _round_prices(low: float, high: float) -> list[float]:
    """About six round prices between two."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks if low < tick < high]


def _footer(figure: "Figure", canvas: "FigureCanvasAgg", told: PayoffFacts) -> None:
    """What the lines mean."""
    from matplotlib.lines import Line2D

    y, x = HEIGHT - 20, 40.0
    lines = [("at expiry", GREEN, (1.0, 0.0))] + ([("today", BLUE, TODAY)] if told.today else [])
    for words, colour, dashes in lines:
        ends = [(x + 4) / WIDTH, (x + 54) / WIDTH]
        level = [1 - (y - 9) / HEIGHT] * 2
        figure.add_artist(Line2D(ends, level, color=colour, linewidth=4.5, dashes=dashes))
        text = _write(figure, x + 70, y, words, 26, GREY)
        x += 70 + _width(canvas, text) + 50
    _write(figure, WIDTH - RIGHT, y, "strikes in bold", 26, GREY, ha="right")
