"""Options: /chain, /option, /strategy with its wizard, and closing and rolling what is held."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from bot import chains, options_grammar, wizard
from bot.chains import Place
from bot.command import Caller, Line, button, command
from bot.commands.planned import plan_card
from bot.commands.trade import lateness
from bot.grammar import symbol
from bot.options_grammar import PlanLine, WizardLine
from bot.reply import Reply
from bot.services import Desk
from bot.wizard import Answers
from core.cards import spot_of
from core.errors import BadInput, BrokerError, StaleCard
from core.model import Right, Side
from core.options.plan import ExpiryWish, PlanRequest, Strategy, StrikeWish
from core.options.strategies import View, suggestions

PER_CONTRACT = 100
OLD_BUTTON = "This button is from an older version and does nothing any more."


@command("/chain AAPL [2026-12-18 | 30d | monthly]")
async def chain(desk: Desk, who: Caller, line: Line) -> Reply:
    """The options of a stock: calls and puts by strike with bid, ask, implied volatility, delta and open interest.

    Buttons turn the page, show other expiries, and lead from a strike to the card of an order. A dash is what the broker has not told.

    /chain AAPL · about a month away
    /chain AAPL 30d · nearest to 30 days from now; monthly: the next monthly one
    """
    asked = options_grammar.chain_line(line)
    page = await desk.planner.page(asked.symbol, asked.expiry)
    place = Place(f"chain-{who.origin.update_id}", asked.symbol, page.expiry)
    shown = chains.page_text(page, desk.broker.link)
    return Reply(shown, chains.buttons(page, place), names=place.name)


@button("chain")
async def turn_chain(desk: Desk, who: Caller, argument: str) -> Reply:
    """Another page of the same chain, in the same message, at the prices of now."""
    place = Place.read(argument)
    if place is None:
        raise StaleCard(OLD_BUTTON)
    page = await desk.planner.page(place.symbol, ExpiryWish(day=place.expiry), place.first)
    return Reply(chains.page_text(page, desk.broker.link), chains.buttons(page, place), edits=place.name)


@command("/option [sell] AAPL call 190 2026-12-18 1 [@ 3.20] [preview]")
async def option(desk: Desk, who: Caller, line: Line) -> Reply:
    """Buy or sell one option, to open or to close. A card shows its worst case first.

    A strike is a price (190), a delta (d30) or a distance (+5%); an expiry a date, 30d or monthly; $500 instead of the quantity is the most
    that may be lost. Without a price it starts at the middle of bid and ask; the card says how far it may go.

    /option AAPL call 190 2026-12-18 1 · one call
    /option AAPL put d30 30d $500 @ 3.20 · as many puts as $500 can lose, at 3.20 or better
    /option sell AAPL call +5% monthly 1 · against shares that you hold
    """
    return await _planned(desk, who, options_grammar.option_line(line))


@command("/strategy [BULL_CALL_SPREAD AAPL 190/200 2026-12-18 1] [@ 3.20] [preview]")
async def strategy(desk: Desk, who: Caller, line: Line) -> Reply:
    """Several options as one order, by the name of the strategy. Without a name, buttons help to find one.

    LONG_CALL, LONG_PUT, COVERED_CALL, PROTECTIVE_PUT, BULL_CALL_SPREAD, BEAR_PUT_SPREAD, BULL_PUT_SPREAD, BEAR_CALL_SPREAD,
    CASH_SECURED_PUT, COLLAR, IRON_CONDOR, LONG_STRADDLE, LONG_STRANGLE. Strikes and expiry may be left out; then they are chosen. It leaves
    as one combination with one limit: a debit is paid, a credit received.

    /strategy AAPL · find one by buttons
    /strategy BULL_CALL_SPREAD AAPL 190/200 2026-12-18 1 @ 3.20 · pays 3.20 a share at most
    /strategy IRON_CONDOR AAPL 30d 1 credit 0.76 · receives 0.76 a share at least
    """
    asked = options_grammar.strategy_line(line)
    if isinstance(asked, WizardLine):
        return await _begin(desk, who, asked)
    return await _planned(desk, who, asked)


async def _planned(desk: Desk, who: Caller, asked: PlanLine) -> Reply:
    preview = await desk.planner.preview(asked.request, who.user)
    return await plan_card(desk, preview, look_only=asked.preview, lead=lateness(desk, who))


@button("opt")
async def option_of_chain(desk: Desk, who: Caller, argument: str) -> Reply:
    """The card of one option that was tapped in a chain."""
    try:
        side, name, right, strike, day = argument.split(":")
        request = PlanRequest(
            symbol(name),
            single=(Side(side), Right(right)),
            strikes=(StrikeWish(price=Decimal(strike)),),
            expiry=ExpiryWish(day=date.fromisoformat(day)),
            quantity=Decimal(1),
        )
    except (ValueError, ArithmeticError, BadInput):
        raise StaleCard(OLD_BUTTON) from None
    return await plan_card(desk, await desk.planner.preview(request, who.user))


@button("close")
async def close(desk: Desk, who: Caller, key: str) -> Reply:
    """The card that closes a strategy or an option that is held, as one order."""
    return await plan_card(desk, await desk.planner.close(key, who.user))


@button("roll")
async def roll(desk: Desk, who: Caller, key: str) -> Reply:
    """The card that moves it to the next monthly expiry, as one order."""
    return await plan_card(desk, await desk.planner.roll(key, who.user))


# --- the wizard -----------------------------------------------------------------------------------------------------------------


async def _begin(desk: Desk, who: Caller, asked: WizardLine) -> Reply:
    if asked.symbol:
        await desk.broker.find(asked.symbol)  # what there is none of is said at once, and not after four taps
    answers = Answers(f"wiz-{who.origin.update_id}", asked.symbol)
    shown, buttons = wizard.question(answers, desk.broker.link, _currency(desk), _held(desk))
    return Reply(shown, buttons, names=answers.name)


@button("wiz")
async def answer(desk: Desk, who: Caller, argument: str) -> Reply:
    """One answer more, or one less: the next question in the same message, or at the end the card."""
    answers = Answers.read(argument)
    if answers is None:
        raise StaleCard(OLD_BUTTON)
    if answers.strategy:
        preview = await desk.planner.preview(answers.request(_budget(desk, answers)), who.user)
        reply = await plan_card(desk, preview)
        back = (("◀ Back", answers.before.written()),)
        return replace(reply, edits=answers.name, buttons=reply.buttons if reply.opens else (back,))
    found = await _found(desk, answers) if answers.days else ()
    shown, buttons = wizard.question(answers, desk.broker.link, _currency(desk), _held(desk), found)
    return Reply(shown, buttons, edits=answers.name)


async def _found(desk: Desk, answers: Answers) -> Sequence[Strategy]:
    """What fits the answers, at the price of now where there is one."""
    underlying = await desk.broker.find(answers.symbol)
    spot = None
    with contextlib.suppress(BrokerError):
        spot = spot_of(await desk.broker.quote(underlying, desk.cards.limits.max_quote_age_seconds, 60.0))
    account = desk.broker.account
    rate = account.rate(underlying.currency) if account else None
    budget = _budget(desk, answers)
    shares = next(
        (p.signed_quantity for p in desk.broker.positions or () if p.con_id == underlying.con_id), Decimal(0)
    )
    if wizard.VIEWS[answers.view][0] is View.PROTECT and shares < PER_CONTRACT:
        raise BadInput(
            f"You hold {shares:f} {answers.symbol}, and one contract protects {PER_CONTRACT}: there is not enough to protect with options. "
            f"A stop does it for any number: /sell {answers.symbol} all stop {_below(spot)} gtc"
        )
    in_base = None if spot is None or rate is None else spot * rate
    return suggestions(wizard.VIEWS[answers.view][0], in_base, budget, shares)


def _below(spot: Decimal | None) -> str:
    """The price of a stop, for an example: a twentieth below the market, where that is known."""
    return "180" if spot is None else f"{spot * Decimal('0.95'):.2f}"


def _budget(desk: Desk, answers: Answers) -> Decimal:
    return _most_risk(desk) if answers.budget == wizard.MOST_RISK else Decimal(answers.budget)


def _most_risk(desk: Desk) -> Decimal:
    """What the owner's limit on the risk of a trade comes to now, in base currency."""
    account = desk.broker.account
    if account is None or account.net_liquidation is None:
        raise BadInput(
            "What the account is worth is not known now, so your limit in money is not either. Choose an amount instead."
        )
    return account.net_liquidation * desk.settings.max_portfolio_risk


def _currency(desk: Desk) -> str:
    return desk.broker.account.currency if desk.broker.account else "USD"


def _held(desk: Desk) -> list[str]:
    return [p.symbol for p in desk.broker.positions or () if p.signed_quantity]
