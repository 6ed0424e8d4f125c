"""Views that are sent payloads, of which no report of an error shows anything.

Django, and services that collect errors, show administrators the variables of every
frame, and Django shows what was posted, too.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def discreet(view: View) -> View:
    """Let reports of errors show nothing of what a request has sent."""
    hiding = sensitive_post_parameters()(view)

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with _discretion():
            response: HttpResponseBase = hiding(request, *args, **kwargs)
        # A form that is shown again has it, too, and is rendered once this has
        # returned. (Answers to GET may be pickled by a cache.)
        is_sent = request.method not in ("GET", "HEAD")
        if is_sent and isinstance(response, SimpleTemplateResponse):
            response.render = _discretion()(response.render)  # type: ignore[method-assign]
        return response

    return cast(View, answered)


def takes_payloads(method: View) -> View:
    """`discreet`, for methods."""
    made: View = method_decorator(discreet)(method)
    return made


def forget_variables(error: BaseException) -> None:
    """Take the variables out of the frames that an error has left, and of those that
    led to it.

    Django's `sensitive_variables` does not hide those of generators, and what they
    call; and it is known to Django alone.
    """
    met: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in met:
            continue
        met.add(id(each))
        traceback.clear_frames(each.__traceback__)
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


@contextmanager
def _discretion() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not settings.DEBUG:  # developers want to see them
            forget_variables(error)
        raise
