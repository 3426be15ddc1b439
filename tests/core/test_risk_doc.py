"""docs/risk.md tells of the rules and limits that there are: their order, codes, defaults, and whom they bind."""

from dataclasses import fields
from pathlib import Path

import pytest

from bot.settings import Settings
from core.risk import RULES, Limits
from tests.core.risk_plan_cases import CASES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "risk.md"


def table(name: str) -> list[list[str]]:
    """The cells of a table's rows, between <!-- name --> and <!-- /name -->."""
    part = PAGE.read_text("utf-8").split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


RULE_ROWS = {row[0].strip("`"): row for row in table("rules")}
LIMIT_ROWS = {row[0].strip("`"): row for row in table("limits")}


def test_every_rule_is_told_in_its_order() -> None:
    """The table has the rules of the gate, none more, none twice."""
    assert [row[0].strip("`") for row in table("rules")] == [row.rule.__name__ for row in RULES]


@pytest.mark.parametrize("row", RULES, ids=lambda row: row.rule.__name__)
def test_a_rule_is_told_as_it_is(row: object) -> None:
    """Its codes, whom it binds, the limits that it needs; and it says what it asks and where it comes from."""
    assert row in RULES
    (rule,) = (one for one in RULES if one is row)
    _, codes, asks, exits, moved, limits, source = RULE_ROWS[rule.rule.__name__]
    cases = CASES[rule.rule.__name__]
    assert set(codes.split(", ")) == {code for _, code in (*cases.denies, *cases.missing) if code}
    assert (exits == "yes", moved == "yes") == (rule.binds_exits, rule.binds_exits and rule.binds_protection)
    assert {exits, moved} <= {"yes", "no"}
    assert tuple(word.strip("`").lower() for word in limits.split()) == rule.needs
    assert asks
    assert source


def test_every_limit_is_told_in_its_order() -> None:
    """The table has the limits of the gate, and each is a setting."""
    assert [row[0].strip("`") for row in table("limits")] == [f.name.upper() for f in fields(Limits)]
    assert {f.name for f in fields(Limits)} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", [f.name for f in fields(Limits)])
def test_a_limit_is_told_with_its_default(name: str) -> None:
    """The default of the page is that of the setting and of the gate; its unit is the one that the name carries."""
    _, default, unit, why = LIMIT_ROWS[name.upper()]
    of_setting = Settings.model_fields[name].default
    of_gate = Limits(max_position_size=Settings.model_fields["max_position_size"].default)
    assert getattr(of_gate, name) == of_setting
    assert default == (f"{of_setting}".lower() if of_setting or of_setting is False else "empty")
    for ending, word in (
        ("_percent", "%"),
        ("_seconds", "seconds"),
        ("_base", "base currency"),
        ("_shares", "shares"),
        ("_contracts", "contracts"),
    ):
        if name.endswith(ending):
            assert word in unit
    assert why


def test_no_limit_of_another_name_is_told() -> None:
    """The rules name no limit that the table of limits does not have."""
    named = {word.strip("`") for row in table("rules") for word in row[5].split()}
    assert named == set(LIMIT_ROWS)
