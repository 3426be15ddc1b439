"""What the chat says and shows, on real wires: names, warnings, lists that are redrawn, and who is told what."""

from tests.kit import House


async def test_a_class_of_shares_has_its_usual_name(live: House) -> None:
    """BRK.B is what people write; the broker's BRK B is nobody's business."""
    card = await live.phone.asks("/buy BRK.B 1", "BUY 1 BRK.B.*BERKSHIRE")
    await live.phone.taps("Send", card)
    await live.phone.hears("FILLED BUY 1 BRK.B.*0 → 1 BRK.B")
    await live.phone.asks("/positions BRK.B", "BRK.B 1 @")
