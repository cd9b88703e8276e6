"""What the readers of task formats give: sentences with tags, and texts with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar


@dataclass(frozen=True)
class Tagged:
    """A sentence as words with one IOB2 tag each.

    Attributes:
        id: name of the sentence in its file.
        words: the words.
        tags: ``O``, ``B-<type>`` or ``I-<type>``, one a word.
    """

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words with blanks between them."""
        return " ".join(self.words)

    @property
    def whole(self) -> str:
        """All that the model reads."""
        return self.text


@dataclass(frozen=True)
class Example:
    """A text, or a pair of texts, with its answer.

    Attributes:
        id: name of the example in its file.
        text: the text; the question, where there is one.
        second: the second text of a pair, such as the context of a question; empty without one.
        labels: its label; several, or none, where a family takes several.
        options: the answers to choose from; then ``labels`` is the position of the right one.
        value: the number to predict, of a regression.
    """

    id: str
    text: str
    second: str = ""
    labels: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    value: float | None = None

    @property
    def whole(self) -> str:
        """All that the model reads."""
        return " ".join((self.text, self.second, *self.options))


One = TypeVar("One", Tagged, Example)


@dataclass(frozen=True)
class Splits(Generic[One]):
    """The examples of a task: to train on, to choose by, to score."""

    train: Sequence[One]
    dev: Sequence[One]
    test: Sequence[One]
