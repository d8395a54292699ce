"""Prompts: an instruction around a text, of which the text alone may be cut."""

from __future__ import annotations

from dataclasses import dataclass

from zhiyin.errors import ConfigError

TEXT = "{text}"
"""Stands in a template where the text is put."""
EDGE = "\0"
"""Stands between an instruction and the text, in which no control character is left."""


@dataclass(frozen=True, slots=True)
class Prompt:
    r"""What a model reads: an instruction around a text.

    >>> str(Prompt.of("This item: \0red shoe\0 means").cut(3))
    'This item: red means'
    """

    before: str
    text: str
    after: str

    @classmethod
    def of(cls, content: str) -> Prompt:
        """What `filled` wrote."""
        return cls(*content.split(EDGE))

    def __str__(self) -> str:
        return f"{self.before}{self.text}{self.after}"

    def cut(self, letters: int) -> Prompt:
        """The same with the first letters of the text alone."""
        return Prompt(self.before, self.text[:letters].rstrip(), self.after)


def filled(template: str, text: str) -> str:
    """A template with a text in it, in one string that tells the two apart; empty for an empty text."""
    return template.replace(TEXT, f"{EDGE}{text}{EDGE}") if text else ""


def no_room(name: str, instruction: int, most: int) -> ConfigError:
    """What to say where an instruction leaves no token to the text."""
    return ConfigError(
        f"{name}: the template and the model's own marks alone have {instruction} tokens, but max_tokens (or the "
        f"model) allows {most}; raise max_tokens, or shorten the template"
    )
