"""JSON as people write it, with what is wrong with it."""

from __future__ import annotations

import json
import math
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from django_workflows.conf import conf
from django_workflows.core.serialization.hiding import HIDDEN


def parse_json(text: str) -> Any:
    """What a text in JSON says, if JSON can say it again. Raises ValidationError that
    names the place."""
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_doubles,
        )
        json.dumps(value)
    except json.JSONDecodeError as error:
        values = {"line": error.lineno, "column": error.colno, "message": error.msg}
        message = _("This is no JSON: line %(line)d, column %(column)d: %(message)s")
        raise ValidationError(message % values) from None
    except RecursionError:
        message = _("This is no JSON that can be read: it is nested too deeply.")
        raise ValidationError(message) from None
    except ValueError as error:
        message = _("This is no JSON: %(message)s") % {"message": error}
        raise ValidationError(message) from None
    return value


def loss_in(text: str) -> str:
    """What is wrong with a text in which something was hidden from who sends it back;
    empty if nothing was."""
    if not (conf.REDACT and HIDDEN in text):
        return ""
    lost = _("What is hidden here would be lost: write out each %(text)s.")
    return lost % {"text": HIDDEN}


def _refuse_constant(name: str) -> Any:
    raise ValueError(_("JSON knows no %(name)s") % {"name": name})


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(_("the number %(number)s is too large") % {"number": text})
    return number


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(_("an object has a key twice"))
    return found
