"""What the fields of a schedule are called, and what they mean."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy

#: Labels and help texts.
TEXTS: dict[str, tuple[Any, Any]] = {
    "name": (
        gettext_lazy("Name"),
        gettext_lazy("Its runs have it in their attribute “schedule”."),
    ),
    "workflow": (
        gettext_lazy("What it starts"),
        gettext_lazy("A workflow, or a definition in the version that is newest then."),
    ),
    "args": (
        gettext_lazy("Arguments"),
        gettext_lazy(
            'A list in JSON, the same for each run: [42, "eu"]. For a definition '
            'its input: [{"total": 120}]'
        ),
    ),
    "kwargs": (
        gettext_lazy("Named arguments"),
        gettext_lazy('An object in JSON: {"detailed": true}'),
    ),
    "cron": (
        gettext_lazy("Cron"),
        gettext_lazy(
            "Minute, hour, day of month, month, day of week: “30 2 * * *” is each day "
            "at 2:30, “*/15 * * * 1-5” each quarter of an hour on working days. Give "
            "either this, an interval or a single time."
        ),
    ),
    "timezone": (
        gettext_lazy("Time zone"),
        gettext_lazy(
            "Whose clocks the cron expression means, such as Europe/Berlin. A time "
            "that is skipped in spring is due right after that, one that comes twice "
            "in autumn is due once."
        ),
    ),
    "interval": (
        gettext_lazy("Interval"),
        gettext_lazy("Every so long: “15m”, “1h30m”, “1d”. “1h” is on the hour."),
    ),
    "offset": (
        gettext_lazy("Offset"),
        gettext_lazy("Moves the times of an interval: “5m”."),
    ),
    "at": (
        gettext_lazy("Single time"),
        gettext_lazy("Once, at this time by your clocks."),
    ),
    "start_at": (
        gettext_lazy("Not before"),
        gettext_lazy(
            "The first time that counts, by your clocks; from now on if it is empty."
        ),
    ),
    "end_at": (
        gettext_lazy("Not after"),
        gettext_lazy(
            "The last time that counts, by your clocks; without end if it is empty."
        ),
    ),
    "remaining_runs": (
        gettext_lazy("Remaining runs"),
        gettext_lazy("How many runs there will be still; any number if it is empty."),
    ),
    "jitter": (
        gettext_lazy("Jitter"),
        gettext_lazy(
            "Delays each run by up to so much, so that not all start at once: “30s”."
        ),
    ),
    "overlap": (
        gettext_lazy("Overlap"),
        gettext_lazy("What becomes of a time at which an earlier run is still open."),
    ),
    "catchup_window": (
        gettext_lazy("Catch-up window"),
        gettext_lazy(
            "Times that were missed while no worker ran are made up for if they are no "
            "longer ago than this: “2h”; “0” is never."
        ),
    ),
    "paused": (
        gettext_lazy("Paused"),
        gettext_lazy("Times pass without a run, and are never caught up with."),
    ),
    "note": (gettext_lazy("Note"), gettext_lazy("For people: why it is paused, say.")),
}
