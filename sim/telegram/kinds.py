"""Of what kinds a message can be. Pure."""

#: Fields of a Message of which one says what it is; a message without any is a service message.
CONTENT = (
    "text", "photo", "document", "animation", "audio", "video", "video_note", "voice", "sticker", "dice", "location",
    "venue", "contact", "poll",
)  # fmt: skip

#: What a copy and a forward take over.
CARRIED = (
    *CONTENT, "entities", "caption", "caption_entities", "link_preview_options", "has_media_spoiler",
    "show_caption_above_media",
)  # fmt: skip

#: Content that is a file, and may have a caption (but a video note and a sticker).
FILES = ("photo", "document", "animation", "audio", "video", "video_note", "voice", "sticker")
