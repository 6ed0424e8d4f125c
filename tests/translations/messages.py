"""The texts of the package that can be translated, and what translations say.

Reads sources and catalogues by itself: `xgettext` is not everywhere.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation.template import templatize

#: A text, or its singular, before which stands its context, if it has one.
Message = str
#: How many arguments the functions take that mark texts: one, or singular and plural.
_SINGLE = {"_", "gettext", "gettext_lazy", "gettext_noop"}
_PLURAL = {"ngettext", "ngettext_lazy"}
_CONTEXT = {"pgettext", "pgettext_lazy"}
_KNOWN = _SINGLE | _PLURAL | _CONTEXT
_IN_TEMPLATE = re.compile(
    r"""\b(?P<name>_|gettext|ngettext|pgettext)\(
        (?P<texts>(?:[uf]?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")\s*,?\s*)+)""",
    re.VERBOSE,
)


def messages(package: Path) -> set[Message]:
    """Return every text that modules and templates of a package mark."""
    return {
        text
        for path in package.rglob("*")
        if path.suffix in (".py", ".html") and path.is_file()
        for text in (_of_module(path) if path.suffix == ".py" else _of_template(path))
    }


def _of_module(path: Path) -> Iterator[Message]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name in _KNOWN:
                texts = [
                    argument.value
                    for argument in node.args
                    if isinstance(argument, ast.Constant)
                    and isinstance(argument.value, str)
                ]
                expected = 1 if name in _SINGLE else 2
                if len(texts) != expected:
                    where = f"{path}:{node.lineno}"
                    raise ValueError(f"{where}: {name}() marks no text as it stands")
                yield _key(name, texts)


def _of_template(path: Path) -> Iterator[Message]:
    for match in _IN_TEMPLATE.finditer(templatize(path.read_text())):
        texts = ast.literal_eval(f"[{match['texts']}]")
        yield _key(match["name"], texts)


def _key(name: str, texts: list[str]) -> Message:
    return "\x04".join(texts) if name in _CONTEXT else texts[0]


class Catalogue:
    """A `.po` file: what it says for each text; the plural forms one after another."""

    def __init__(self, path: Path) -> None:
        self.texts: dict[Message, list[str]] = {}
        #: Singular to plural, where there is one.
        self.plurals: dict[Message, str] = {}
        #: What a program has guessed, and nobody has looked at.
        self.guessed: list[Message] = []
        for block in path.read_text().split("\n\n"):
            self._read(block)

    def _read(self, block: str) -> None:
        fields: dict[str, str] = {}
        field = ""
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            name, _, rest = line.partition(" ")
            if not line.startswith('"'):
                field, line = name, rest
            fields[field] = fields.get(field, "") + ast.literal_eval(line)
        if "msgid" not in fields:
            return
        context = f"{fields['msgctxt']}\x04" if "msgctxt" in fields else ""
        message = context + fields["msgid"]
        self.texts[message] = [
            text for name, text in fields.items() if name.startswith("msgstr")
        ]
        if "msgid_plural" in fields:
            self.plurals[message] = fields["msgid_plural"]
        if re.search(r"^#,.*\bfuzzy\b", block, re.MULTILINE):
            self.guessed.append(message)
