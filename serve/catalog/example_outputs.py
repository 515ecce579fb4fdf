"""What a card's examples say came out: shown as it stands, so it is small, and its pictures are inside the card."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serve.domain import validation

MAX_PICTURE_CHARACTERS = 65_536
"""Of one picture as a data URI, some 48 kB: a card is read whole, and catalogues list many."""
_Picture = Annotated[
    str, Field(max_length=MAX_PICTURE_CHARACTERS, pattern=r"^data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}$")
]


class ExampleOutput(BaseModel):
    """The `output` of an example: a text, or pictures. What a model of vectors says of its input is a text."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    images: list[_Picture] | None = Field(default=None, min_length=1, max_length=4)

    @model_validator(mode="after")
    def _says_something(self) -> "ExampleOutput":
        if self.text is None and self.images is None:
            raise ValueError("an output is a text or images")
        return self


def output_problems(output: Any, path: validation.Path) -> Iterator[tuple[validation.Path, str]]:
    """What is wrong with the `output` of an example at `path`."""
    try:
        ExampleOutput.model_validate(output)
    except ValidationError as error:
        for problem in validation.problems(error, output):
            yield (*path, "output", *problem.path), problem.says
