"""The line to TWS: ib_async reads its values as it always does, only quicker."""

import copy
import dataclasses
from typing import Any

import ib_async as ib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async.decoder import Decoder

from core.wire import _QuickDecoder

KINDS = (ib.Order, ib.OrderState, ib.Execution, ib.Contract, ib.ContractDetails)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_quick_decoder_reads_what_the_other_reads(kind: type, data: st.DataObject) -> None:
    """Whatever text the fields hold, both make the same value of it, or fail with the same error."""
    words = st.sampled_from(["", "0", "1", "17", "2147483647", "1.5", "1.7976931348623157E308", "x"])
    told = kind()
    for field in dataclasses.fields(kind):
        if isinstance(field.default, int | float | bool):
            setattr(told, field.name, data.draw(words))
    assert _read(Decoder, told) == _read(_QuickDecoder, told)


def _read(decoder: type[Decoder], told: Any) -> Any:
    """The value as a decoder leaves it, and its error."""
    mine = copy.copy(told)
    try:
        decoder.parse(object.__new__(decoder), mine)
    except ValueError as wrong:
        return repr(wrong)
    return {name: getattr(mine, name) for name in (field.name for field in dataclasses.fields(mine))}
