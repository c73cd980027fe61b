"""The text format of protocol buffers, as far as configuration files use it.

Source: docs/tensorflow-serving.md, "Model configuration" and "Monitoring".
"""

import ast
import re
from typing import NamedTuple

Value = int | float | str | bool | dict[str, list["Value"]]
Message = dict[str, list[Value]]
"""Field name -> its values in order."""

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[A-Za-z_][\w.]*)
    |(?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)
    |(?P<sign>[{}<>:;,\[\]])
    |(?P<other>.)""",
    re.VERBOSE,
)
_CLOSING = {"{": "}", "<": ">", "[": "]"}


class TextProtoError(ValueError):
    """Not the text of a protocol buffer; the message names the line."""


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def parse_text_proto(text: str) -> Message:
    """Raises TextProtoError."""
    return _Parser(_tokens(text)).message(closing="")


def _tokens(text: str) -> list[_Token]:
    line, found = 1, []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind != "space":
            found.append(_Token(kind, match[0], line))
        line += match[0].count("\n")
    return [*found, _Token("end", "", line)]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def message(self, closing: str) -> Message:
        """Fields up to `closing`, which is taken as well."""
        fields: Message = {}
        while not self._take(closing):
            name = self._next("word")
            self._take(":")
            fields.setdefault(name.text, []).extend(self._values())
            self._take(";") or self._take(",")
        return fields

    def _values(self) -> list[Value]:
        """One, or those of a list in square brackets."""
        if not self._take("["):
            return [self._value()]
        values: list[Value] = []
        while not self._take("]"):
            values.append(self._value())
            self._take(",")
        return values

    def _value(self) -> Value:
        token = self._next("string", "word", "number", "sign")
        if token.kind == "sign":
            return self.message(_CLOSING.get(token.text) or self._fail(token))
        if token.kind == "string":
            return self._string(token)
        if token.kind == "number":
            return float(token.text) if {*".eE"} & {*token.text} else int(token.text)
        return {"true": True, "false": False}.get(token.text, token.text)

    def _string(self, token: _Token) -> str:
        """Adjacent ones are one string."""
        text = str(ast.literal_eval(token.text))
        while self._tokens[self._at].kind == "string":
            text += str(ast.literal_eval(self._next("string").text))
        return text

    def _take(self, text: str) -> bool:
        if self._tokens[self._at].text != text:
            return False
        self._at += 1
        return True

    def _next(self, *kinds: str) -> _Token:
        token = self._tokens[self._at]
        if token.kind not in kinds:
            self._fail(token)
        self._at += 1
        return token

    def _fail(self, token: _Token) -> str:
        raise TextProtoError(f"line {token.line}: unexpected {token.text or 'end of file'!r}")
