"""The chat: what a phone sees. Knows Telegram, decides nothing about money."""
