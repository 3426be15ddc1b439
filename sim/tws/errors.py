"""What TWS refuses, in its own codes and words."""


class Refused(Exception):
    """A request that TWS answers with an error code and nothing else."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def invalid(cause: str) -> Refused:
    """Error 321 in its usual wording."""
    return Refused(321, f"Error validating request.-'bN' : cause - {cause}")
