"""aiogram's models of the Bot API as a judge: a value has to be valid, and no field in it may be unknown, however deep."""

import typing
from typing import Any

from pydantic import BaseModel, TypeAdapter


def fits(kind: Any, value: Any) -> None:
    """The value is a `kind`; AssertionError names the fields that no model knows, ValidationError what is of a wrong type."""
    model = TypeAdapter(kind).validate_python(value)
    unknown = list(strangers(model, value, ""))
    assert not unknown, f"{unknown} are not in {kind}"


def strangers(model: Any, raw: Any, path: str) -> typing.Iterator[str]:
    """Paths of the fields of `raw` that `model`, made from it, has no name for."""
    if isinstance(model, BaseModel) and isinstance(raw, dict):
        names = {field.alias or name: name for name, field in type(model).model_fields.items()}
        for key, value in raw.items():
            if key not in names:
                yield f"{path}.{key}"
            else:
                yield from strangers(getattr(model, names[key]), value, f"{path}.{key}")
    elif isinstance(model, list | tuple) and isinstance(raw, list):
        assert len(model) == len(raw), f"{path} lost items"
        for index, (part, value) in enumerate(zip(model, raw, strict=True)):
            yield from strangers(part, value, f"{path}[{index}]")
    elif isinstance(raw, dict):
        yield f"{path} (no model at all)"
