"""Numbers for people."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext as _


def whole(number: float) -> str:
    """A count: "12,345"."""
    return str(number_format(round(number), force_grouping=True))


def percent(number: float) -> str:
    """A share in percent: "0.4 %"; "0 %" only if there is nothing."""
    if 0 < number < 0.1:
        return _("< %(number)s %%") % {"number": number_format(0.1, 1)}
    text = number_format(number, 0 if number == round(number) else 1)
    return _("%(number)s %%") % {"number": text}


def at_most(number: int, most: int) -> str:
    """A count that stops at `most`: "1,000+" from there on."""
    if number < most:
        return whole(number)
    return _("%(number)s+") % {"number": whole(most)}
