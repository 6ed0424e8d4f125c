"""Exceptions for the log: what people need to know, and the exception itself."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from django_workflows.conf import conf
from django_workflows.core.serialization import dumps, loads
from django_workflows.core.serialization.exceptions import safe_message
from django_workflows.core.serialization.names import display_name
from django_workflows.errors import SerializationError, StepError, WorkflowError

# What is too large a payload with one of these is tried with the next.
_LONGEST_TEXTS = (64 * 1024, 4096, 256)
_MOST_CAUSES = 20


@dataclass(frozen=True)
class Failure:
    """What is known of a stored exception without building it."""

    type_name: str
    """Dotted name of its class; builtins have no module."""
    message: str
    traceback: str
    causes: tuple[tuple[str, str], ...]
    """Type name and message of its causes, the nearest first."""
    encoded: str | None
    """The exception itself in encoded form, if it could be stored."""

    @classmethod
    def of(cls, data: bytes) -> Failure:
        """The failure in ``data`` as made by ``capture``."""
        found: Any = loads(data)
        try:
            failure = cls(
                type_name=found["type"],
                message=found["message"],
                traceback=found["traceback"],
                causes=tuple((cause[0], cause[1]) for cause in found["causes"]),
                encoded=found["exception"],
            )
        except (LookupError, TypeError) as error:
            raise SerializationError("damaged payload: this is no failure") from error
        texts = [failure.type_name, failure.message, failure.traceback]
        texts += [text for cause in failure.causes for text in cause]
        if not all(isinstance(text, str) for text in (*texts, failure.encoded or "")):
            raise SerializationError("damaged payload: this is no failure")
        return failure

    def exception(self) -> BaseException | None:
        """The exception itself, if it was stored and this process can rebuild it."""
        if self.encoded is None:
            return None
        try:
            error = loads(self.encoded.encode("utf-8", "surrogatepass"))
        except WorkflowError:
            # Its class has changed or gone since.
            return None
        return error if isinstance(error, BaseException) else None

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


def capture(error: BaseException) -> bytes:
    """``error`` as bytes, for ``rebuild``. Never raises, whatever the exception is.

    Attributes and causes that cannot be serialized are left out; very long texts are
    cut, and an exception that would be too large a payload is kept as text only.
    """
    limit = conf.MAX_PAYLOAD_BYTES
    for longest in _LONGEST_TEXTS:
        causes = [
            [display_name(type(cause)), _cut(safe_message(cause), longest // 16)]
            for cause in _causes(error)
        ]
        data = dumps(
            {
                "type": display_name(type(error)),
                "message": _cut(safe_message(error), longest),
                "traceback": _cut(_traceback_text(error), longest),
                "causes": causes,
                "exception": _encoded(error, limit // 2),
            }
        )
        if len(data) <= limit:
            break
    return data


def rebuild(data: bytes) -> BaseException:
    """A new exception like the captured one.

    It has the original's type if that can be imported and its arguments could be
    stored; else it is a ``StepError`` with the original's ``type_name``.
    """
    failure = Failure.of(data)
    return failure.exception() or StepError(
        failure.message, type_name=failure.type_name, traceback=failure.traceback
    )


def _encoded(error: BaseException, limit: int) -> str | None:
    try:
        data = dumps(error, lenient=True)
        if len(data) > limit or type(loads(data)) is not type(error):
            return None
    except Exception:
        # User code takes part in both directions and may raise anything; the text
        # of the failure is stored all the same.
        return None
    return data.decode("utf-8", "surrogatepass")


def _traceback_text(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as problem:
        return f"<the traceback cannot be shown: {type(problem).__name__}>"


def _causes(error: BaseException) -> list[BaseException]:
    causes: list[BaseException] = []
    met = {id(error)}
    cause = _cause(error)
    while cause is not None and id(cause) not in met and len(causes) < _MOST_CAUSES:
        met.add(id(cause))
        causes.append(cause)
        cause = _cause(cause)
    return causes


def _cause(error: BaseException) -> BaseException | None:
    # By way of the base class: a subclass may have made properties of them.
    state = vars(BaseException)
    cause: BaseException | None = state["__cause__"].__get__(error)
    if cause is not None or state["__suppress_context__"].__get__(error):
        return cause
    context: BaseException | None = state["__context__"].__get__(error)
    return context


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n… {left_out:,} characters left out …\n{text[-half:]}"
