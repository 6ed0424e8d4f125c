"""Forms and query strings as values: names with one value or several."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from django_workflows.core.headers import Headers, charset
from django_workflows.core.serialization import register_type

T = TypeVar("T")

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


class MultiMapping(Mapping[str, T], Generic[T]):
    """Names and their values: ``[name]`` is the last one, `getlist` has each."""

    def __init__(self, source: Iterable[tuple[str, T]] = ()) -> None:
        self.pairs: tuple[tuple[str, T], ...] = tuple((n, v) for n, v in source)
        self._values: dict[str, list[T]] = {}
        for name, value in self.pairs:
            self._values.setdefault(name, []).append(value)

    def getlist(self, name: str) -> list[T]:
        """Every value of a name, in order; none is an empty list."""
        return list(self._values.get(name, ()))

    def __getitem__(self, name: str) -> T:
        return self._values[name][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        # Values may be secrets, and this is what logs and tracebacks show.
        return f"<{type(self).__name__} {', '.join(self._values)}>"


class Query(MultiMapping[str]):
    """What a URL has behind its question mark; ``str()`` is the text as it came."""

    def __init__(self, text: str = "") -> None:
        self._text = text
        super().__init__(parse_qsl(text, keep_blank_values=True))

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self._text == other
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, repr=False)
class FormFile:
    """A file in a form. Its name and type are what the sender claims."""

    filename: str
    content_type: str
    content: bytes

    def __repr__(self) -> str:
        return f"<FormFile {len(self.content)} bytes>"


class Form(MultiMapping[str]):
    """The fields of a form, as text, and its ``files`` by the names of their fields."""

    def __init__(
        self,
        fields: Iterable[tuple[str, str]] = (),
        files: Iterable[tuple[str, FormFile]] = (),
    ) -> None:
        super().__init__(fields)
        self.files = MultiMapping(files)


def parse_form(headers: Headers, body: bytes) -> Form:
    """The form in a body; an empty one if the headers name no type of form.

    Raises ValueError if the body is not what they say, or has more fields than Django's
    settings ``DATA_UPLOAD_MAX_NUMBER_FIELDS`` and ``..._FILES`` allow.
    """
    content_type = headers.get("Content-Type", "")
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == URLENCODED:
            return Form(_pairs(QueryDict(body, encoding=charset(headers))))
        if kind == MULTIPART:
            return _parse_multipart(headers, content_type, body)
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise ValueError(f"the body is no valid form: {error}") from error
    return Form()


def _parse_multipart(headers: Headers, content_type: str, body: bytes) -> Form:
    facts = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    kept = _KeptInMemory()
    parser = MultiPartParser(facts, BytesIO(body), [kept], charset(headers))
    fields, _ = parser.parse()
    return Form(_pairs(fields), kept.files)


class _KeptInMemory(FileUploadHandler):
    """Workflow code may not write files, so none are written."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[tuple[str, FormFile]] = []
        self._content = bytearray()

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._content = bytearray()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._content += raw_data

    def file_complete(self, file_size: int) -> None:
        file = FormFile(
            self.file_name or "", self.content_type or "", bytes(self._content)
        )
        self.files.append((self.field_name or "", file))


def _pairs(found: QueryDict) -> Iterator[tuple[str, str]]:
    for name, values in found.lists():
        for value in values:
            yield name, str(value)


register_type(
    MultiMapping,
    encode=lambda mapping: [list(pair) for pair in mapping.pairs],
    decode=MultiMapping,
    name="django_workflows.MultiMapping",
)
register_type(Query, encode=str, decode=Query, name="django_workflows.Query")
register_type(
    Form,
    encode=lambda form: [
        [list(pair) for pair in form.pairs],
        [list(pair) for pair in form.files.pairs],
    ],
    decode=lambda parts: Form(*parts),
    name="django_workflows.Form",
)
