"""Bars of the timeline as SVG. Written here and not by a template, which would take
longer for them than all the rest of a long run's page takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from django_workflows.admin.run_page.geometry import Bar

_BEGIN = (
    '<svg class="dw-tl-bars" width="100%" height="20" aria-hidden="true" '
    'focusable="false"><use href="#dw-tl-grid"/>'
)
#: Looks that have a pattern, for those who see no colours.
_HATCHED = ("failed", "timed_out")


def chart(
    bars: Iterable[Bar],
    marks: Sequence[tuple[str, str]] = (),
    *,
    has_folds: bool = False,
) -> SafeString:
    """A row of the timeline. Marks are places of vertical lines, and what they mean."""
    parts = [_BEGIN]
    for bar in bars:
        place = f'x="{bar.x}" y="3" width="{bar.width}" height="14"'
        parts.append(f"<g><title>{escape(bar.text)}</title>")
        parts.append(f'<rect class="dw-bar dw-bar-{escape(bar.look)}" {place}/>')
        if bar.is_wide and bar.look in _HATCHED:
            parts.append(f'<rect fill="url(#dw-tl-hatch)" {place}/>')
        parts.append("</g>")
    for x, text in marks:
        parts.append(f"<g><title>{escape(text)}</title>")
        parts.append(f'<line class="dw-tl-mark" x1="{x}" x2="{x}" y1="0" y2="20"/></g>')
    if has_folds:
        parts.append('<use href="#dw-tl-folds"/>')
    parts.append("</svg>")
    return mark_safe("".join(parts))  # noqa: S308 (texts are escaped)
