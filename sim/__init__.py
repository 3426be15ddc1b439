"""The outside world in a box: a TWS, a Bot API with a chat page and a Messages API over real sockets.

Imports nothing of the product, and nothing of the product imports it: they only ever meet on the wire.
"""
