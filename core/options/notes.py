"""What a person should know before a plan is sent, one plain sentence for each thing that applies."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from core.model import Dividend, Leg, OptionTerms, Right
from core.options.combine import ZERO


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _day(day: date) -> str:
    return f"{day.day} {day:%b %y}"


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _name(option: OptionTerms) -> str:
    return f"{_plain(option.strike)} {'call' if option.right is Right.CALL else 'put'}"


def in_the_money(option: OptionTerms, spot: Decimal) -> Decimal:
    """How far it is in the money, per unit; zero where it is not."""
    depth = spot - option.strike if option.right is Right.CALL else option.strike - spot
    return max(depth, ZERO)


def before_expiry(option: OptionTerms, dividend: Dividend | None, today: date) -> bool:
    """Whether the share goes ex-dividend after today and while the option still lives."""
    return dividend is not None and today < dividend.ex_date <= option.expiry


def early_call(
    option: OptionTerms, spot: Decimal | None, dividend: Dividend | None, value: Decimal | None, today: date
) -> bool:
    """Whether whoever owns this call gains by exercising it for the dividend: it is in the money and its time value is less."""
    return (
        option.right is Right.CALL
        and spot is not None
        and value is not None
        and dividend is not None
        and before_expiry(option, dividend, today)
        and in_the_money(option, spot) > 0
        and value < dividend.amount
    )


def notes(
    legs: Sequence[Leg],
    spot: Decimal | None,
    dividend: Dividend | None,
    values: Mapping[int, Decimal | None],
    today: date,
    count: Decimal = Decimal(1),
) -> tuple[str, ...]:
    """Of `count` combinations of these legs. `values` are what is left of each short option's price beyond what exercise would bring
    (time value, per unit), by con_id; None or missing where it is not known.
    """
    told: list[str] = []
    short = [(leg, leg.option) for leg in legs if leg.option and leg.ratio < 0]
    long = [leg.option for leg in legs if leg.option and leg.ratio > 0]
    for leg, option in short:
        units = -leg.ratio * count * option.multiplier
        if spot is not None and in_the_money(option, spot) > 0:
            told.append(
                f"The short {_name(option)} is in the money: it can be assigned at any time, not only at expiry."
            )
        if option.right is Right.PUT:
            told.append(
                f"If the short {_name(option)} is assigned, you buy {units:,.0f} shares for {_money(units * option.strike)}."
            )
        elif any(other.option is None and other.ratio > 0 for other in legs):
            told.append(
                f"If the short {_name(option)} is assigned, your {units:,.0f} shares are sold for {_money(units * option.strike)}."
            )
        else:
            told.append(
                f"If the short {_name(option)} is assigned, you owe {units:,.0f} shares, sold for {_money(units * option.strike)}."
            )
        told += _dividend_notes(leg, option, spot, dividend, values.get(leg.con_id), today)
    for expiry in sorted({option.expiry for _, option in short}):
        strikes = sorted({option.strike for _, option in short if option.expiry == expiry})
        at = " or ".join(_plain(strike) for strike in strikes)
        told.append(
            f"Close to {at} on {_day(expiry)} nobody knows before the next session whether the short side is assigned."
        )
    if long:
        which = "A long option" if len(long) == 1 else "Each long option"
        told.append(
            f"{which} that is 0.01 or more in the money at expiry is exercised by itself; close it before if you do not want the shares."
        )
    for expiry in sorted({leg.option.expiry for leg in legs if leg.option}):
        if (expiry - today).days <= 0:
            told.append("It expires today." if expiry == today else f"It expired on {_day(expiry)}.")
    return tuple(dict.fromkeys(told))


def _dividend_notes(
    leg: Leg,
    option: OptionTerms,
    spot: Decimal | None,
    dividend: Dividend | None,
    value: Decimal | None,
    today: date,
) -> list[str]:
    if dividend is None or option.right is not Right.CALL or not before_expiry(option, dividend, today):
        return []
    head = (
        f"The share goes ex-dividend ({_money(dividend.amount)}) on {_day(dividend.ex_date)}, before expiry"
    )
    if early_call(option, spot, dividend, value, today):
        return [
            f"{head}; the short {_name(option)} has only {_money(value or ZERO)} of time value, so expect to be assigned the day before."
        ]
    return [
        f"{head}; a short call in the money whose time value is below that is likely to be assigned the day before."
    ]
