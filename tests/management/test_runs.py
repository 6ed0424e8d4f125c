"""Runs on the command line: listed, started, shown and steered."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_workflows import get_run, resume_hook, start
from django_workflows.core.authorship import done_by
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.management import workflows as code
from tests.management.commands import document, run_command, run_fully
from tests.management.workflows import busy, guarded, napping, order

MISSING = "wrun_00000000000000000000000000"


def line_of(function: Any, text: str) -> int:
    """The line of the file in which a function has this text."""
    lines = Path(code.__file__).read_text().splitlines()
    first = function.__code__.co_firstlineno
    return next(n for n, line in enumerate(lines, 1) if n >= first and text in line)


@pytest.fixture
def failed(workflows: WorkflowTester) -> Run:
    run = start(order, Decimal(-1), password="hunter2")
    workflows.run_until_idle()
    workflows.advance("10s")
    run.refresh_from_db()
    assert run.status == "failed"
    return run


@pytest.fixture
def asleep(workflows: WorkflowTester) -> Run:
    run = start(napping.options(key="nap", attributes={"customer": 7}), "Ada")
    workflows.run_until_idle()
    run.refresh_from_db()
    return run


def ids(*arguments: str) -> list[str]:
    return [run["id"] for run in document("list", *arguments)]


def test_list_shows_the_newest_first(failed: Run, asleep: Run) -> None:
    assert ids() == [asleep.pk, failed.pk]
    exit_code, text = run_command("list")
    head, first, second = text.splitlines()
    assert exit_code == 0
    assert head.split() == [
        "id", "workflow", "status", "created", "finished", "key", "attributes",
    ]  # fmt: skip
    assert first.split()[:3] == [asleep.pk, "commands.napping", "running"]
    assert first.endswith('nap  {"customer": 7}')
    assert second.split()[:3] == [failed.pk, "commands.order", "failed"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--status", "failed"), ["failed"]),
        (("--status", "failed,running"), ["asleep", "failed"]),
        (("--filter", "status=failed,timed_out"), ["failed"]),
        (("--filter", "status=failed,running", "--status", "failed"), ["failed"]),
        (("--workflow", "commands.napping"), ["asleep"]),
        (("--filter", "key=nap"), ["asleep"]),
        (("--filter", "queue=default"), ["asleep", "failed"]),
        (("--filter", "attributes.customer=7"), ["asleep"]),
        (("--filter", "attributes__customer=7"), ["asleep"]),
        (("--filter", "attributes.customer=8"), []),
        (("--filter", "status=failed", "--filter", "attributes.customer=7"), []),
        (("--filter", "status=failed", "--filter", "status=running"), []),
        (("--filter", "created_after=2001-01-01T00:00Z"), ["asleep", "failed"]),
        (("--filter", "created_before=2001-01-01T00:00Z"), []),
        (("--status", "running", "--filter", "workflow=commands.napping"), ["asleep"]),
    ],
)
def test_list_by_filters(
    arguments: tuple[str, ...], found: list[str], failed: Run, asleep: Run
) -> None:
    runs = {"failed": failed.pk, "asleep": asleep.pk}
    assert ids(*arguments) == [runs[name] for name in found]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list", "--status", "done"), "--filter status=done: Select a valid choice"),
        (("list", "--status", "failed,done"), "Select a valid choice. done is not"),
        (("list", "--status", "failed,"), "--filter status=failed,: Select a valid"),
        (("list", "--filter", "colour=red"), "no such field; there are status,"),
        (("list", "--filter", "status"), "field=value is needed"),
        (("list", "--filter", "key="), "field=value is needed"),
        (("list", "--filter", "created_after=soon"), "Enter a valid date/time"),
        (("list", "--filter", "attributes.a=\0"), "null characters"),
        (("list", "--limit", "0"), "--limit: a number from 1"),
        (("list", "--after", MISSING), MISSING),
        (("list", "--limit", "9" * 30), "--limit: a number from 1 to 2147483647"),
        (("list", "--limit", "2147483648"), "--limit: a number from 1 to 2147483647"),
        (("prune", "--batch", "9" * 30), "--batch: a number from 1 to 2147483647"),
        (("list", "--filter", "attributes.a\0=1"), "a\0=1: null characters are not"),
        (("list", "--filter", "attributes.\udcff=1"), "no valid text"),
        (("wake", "--filter", "key=\udcff"), "no valid text"),
        (("show", MISSING), f"no workflow run '{MISSING}'"),
        (("show", MISSING, "--json"), f"no workflow run '{MISSING}'"),
        (("show", "\udcff"), r"\udcff"),
        (("events", MISSING), f"no workflow run '{MISSING}'"),
        (("stream", MISSING), f"no workflow run '{MISSING}'"),
        (("cancel",), "Say which runs"),
        (("retry", MISSING, "--filter", "status=failed"), "Say which runs"),
        (("wake", "--filter", "colour=red"), "no such field"),
        (("start", "commands.nothing"), "commands.nothing"),
        (("start", "commands.order"), "amount: "),
        (("start", "commands.order", "--arg", "[1]"), "amount: "),
        (("start", "commands.order", "--arg", "x"), "'x' is no JSON"),
        (("start", "commands.order", "--arg", r'["\ud800"]'), "half of a surrogate"),
        (("start", "commands.order", "--kwarg", 'amount="\udcff"'), "half of a surrog"),
        (("start", "commands.order", "--arg", "1", "2", "3"), "at most 2"),
        (("start", "commands.order", "--kwarg", "amount"), "is not NAME=JSON"),
        (("start", "commands.napping", "--kwarg", "no=1"), "no parameter is named"),
        (("start", "commands.napping", "--delay", "soon"), "delay: "),
        (("start", "commands.napping", "--queue", ""), "queue: "),
        (
            ("start", "commands.napping", "--kwarg", "name=1", "name=2"),
            "a name is given twice",
        ),
        (("dev", "127.0.0.1:65536"), "127.0.0.1:65536: ports are up to 65535"),
        (("dance",), "invalid choice: 'dance'"),
    ],
)
def test_mistakes_are_told(db: None, arguments: tuple[str, ...], told: str) -> None:
    with pytest.raises(CommandError) as error:
        run_command(*arguments)
    assert told in str(error.value)
    assert not Run.objects.exists()


def test_list_goes_on_behind_a_page(workflows: WorkflowTester) -> None:
    started = [start(napping).pk for _ in range(5)]
    page = ids("--limit", "2")
    text = run_command("list", "--limit", "2")[1]
    assert text.endswith(f"There are more: add --after {page[-1]}\n")
    page += ids("--limit", "2", "--after", page[-1])
    page += ids("--limit", "2", "--after", page[-1])
    assert sorted(page) == sorted(started)
    assert len(set(page)) == 5
    assert "more" not in run_command("list", "--limit", "5")[1]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        run_command("list", "--status", "pending", "--after", page[0])
    assert len(queries) == 2  # the run to go on behind, and the page


def test_start_checks_and_converts_arguments(workflows: WorkflowTester) -> None:
    shown = document("start", "commands.order", "--arg", '"9.99"', '"x"')
    run = Run.objects.get(pk=shown["id"])
    assert run.args == (Decimal("9.99"), "x")
    exit_code, text = run_command(
        "start", "commands.order", "--arg", "1", "--kwarg", 'password="y"'
    )
    other = Run.objects.exclude(pk=run.pk).get()
    assert (exit_code, text) == (0, f"{other.pk} started\n")
    assert (other.args, other.kwargs) == ((Decimal(1),), {"password": "y"})
    workflows.run_until_idle()
    run.refresh_from_db()
    assert run.output == "paid 9.99"


def test_start_with_options(workflows: WorkflowTester) -> None:
    arguments = ("start", "commands.napping", "--key", "k", "--queue", "eu")
    more = ("--delay", "10m", "--attribute", "customer=7", 'name="Ada"')
    shown = document(*arguments, *more)
    assert (shown["key"], shown["queue"]) == ("k", "eu")
    assert shown["attributes"] == {"customer": 7, "name": "Ada"}
    assert shown["wake_at"] > shown["created_at"]
    assert document(*arguments)["id"] == shown["id"]
    assert run_command(*arguments)[1] == (
        f"{shown['id']} has this key already; it is pending\n"
    )


def test_show_tells_what_a_run_waits_for(workflows: WorkflowTester) -> None:
    run = start(busy)
    assert document("show", run.pk)["waiting_for"] == (
        "Waiting for a free worker of queue default."
    )
    elsewhere = start(napping.options(queue="eu"))
    assert "which none serves" in document("show", elsewhere.pk)["waiting_for"]
    workflows.run_until_idle()
    shown = document("show", run.pk)
    child = Run.objects.get(parent=run)
    operations = {each["kind"]: each for each in shown["timeline"]}
    assert set(operations) == {"child", "hook", "wait"}
    assert shown["id"] == run.pk
    assert shown["cause"] is None
    assert operations["child"]["run_id"] == child.pk
    assert operations["child"]["status"] == "running"
    assert operations["hook"]["metadata"] == {"for": "the boss"}
    waiting = shown["waiting_for"]
    assert f"child commands.napping, run {child.pk} (running)" in waiting
    assert f"a payload for hook {operations['hook']['id']}" in waiting
    assert "a timer at " in waiting
    text = run_command("show", run.pk)[1]
    assert waiting in text.splitlines()
    assert "secret-token" not in text + str(shown)
    resume_hook("secret-token", True)
    workflows.run_until_idle()
    statuses = {
        each["kind"]: each["status"] for each in document("show", run.pk)["timeline"]
    }
    assert statuses == {"child": "running", "hook": "disposed", "wait": "cancelled"}


def test_show_tells_of_sleeps_pauses_and_starts_to_come(
    workflows: WorkflowTester, asleep: Run
) -> None:
    def waiting(run: Run) -> str:
        return str(document("show", run.pk)["waiting_for"])

    assert waiting(asleep).startswith("Waiting for its sleep to end at ")
    asleep.pause()
    workflows.run_until_idle()
    assert waiting(asleep) == "Waiting to be resumed."
    later = start(napping.options(delay="1d"))
    assert waiting(later).startswith("Waiting for its start at ")
    asleep.terminate()
    assert waiting(asleep) == ""


def test_show_tells_why_a_run_failed_and_where(failed: Run) -> None:
    shown = document("show", failed.pk)
    assert shown["cause"]["error"] == {"type": "ValueError", "message": "cannot pay -1"}
    assert [
        (each["file"], each["line"], each["code"]) for each in shown["cause"]["lines"]
    ] == [
        (
            code.__file__,
            line_of(code.pay.func, "raise ValueError"),
            'raise ValueError(f"cannot pay {amount}")',
        ),
        (
            code.__file__,
            line_of(order.func, "await pay"),
            "return await pay(amount, password)",
        ),
    ]
    (step,) = shown["timeline"]
    assert (step["name"], step["status"]) == ("commands.pay", "failed")
    assert [attempt["outcome"] for attempt in step["attempts"]] == ["error", "failed"]
    lines = run_command("show", failed.pk)[1].splitlines()
    assert ("cause:     Failed: ValueError: cannot pay -1 (step commands.pay)") in lines
    assert sum("ValueError: cannot pay -1" in line for line in lines) == 4
    assert [line.split()[:2] for line in lines if "attempt" in line] == [
        ["attempt", "1"],
        ["attempt", "2"],
    ]


def test_show_after_a_retry_has_what_counts(
    failed: Run, workflows: WorkflowTester
) -> None:
    assert run_command("retry", failed.pk) == (0, f"{failed.pk} goes on\n")
    (step,) = document("show", failed.pk)["timeline"]
    assert step["status"] in ("open", "pending")
    assert document("show", failed.pk)["attempt"] == 2


def test_show_tells_why_a_run_is_blocked_and_where(workflows: WorkflowTester) -> None:
    run = start(guarded)
    workflows.run_until_idle()
    shown = document("show", run.pk)
    place = f"{code.__file__}:{line_of(guarded.func, 'time.sleep')}"
    assert shown["cause"]["text"].startswith("WorkflowGuardError: time.sleep()")
    assert place in shown["cause"]["text"]
    assert shown["waiting_for"].startswith("Blocked: waiting for other code")
    text = run_command("show", run.pk)[1]
    assert "status:    running, blocked\n" in text
    assert place in text
    assert "blocked" in run_command("list")[1]


@pytest.mark.parametrize(
    ("command", "cause"), [("cancel", "Cancelled"), ("terminate", "Terminated")]
)
def test_show_tells_for_which_reason_a_run_was_stopped(
    command: str,
    cause: str,
    asleep: Run,
    workflows: WorkflowTester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And who did it."""
    monkeypatch.setenv("LOGNAME", "deploy")
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")
    assert run_command(command, asleep.pk, "--reason", "ordered twice")[0] == 0
    workflows.run_until_idle()
    shown = document("show", asleep.pk)
    assert shown["cause"]["text"] == f"{cause}: ordered twice"
    assert shown["ended_by"] == "deploy@web-1 on the command line"
    text = run_command("show", asleep.pk)[1]
    assert "ended by:  deploy@web-1 on the command line" in text
    # Machines and their users are nobody else's business.
    assert "web-1" not in run_command("events", asleep.pk, "--json")[1]


def test_show_tells_who_ended_a_run_over_the_api(asleep: Run) -> None:
    with done_by("anna", "api"):
        asleep.terminate()
    assert document("show", asleep.pk)["ended_by"] == "anna over the API"


def test_who_starts_runs_is_in_their_logs(
    asleep: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "deploy")
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")
    new = document("start", asleep.workflow, "--arg", '"Ada"')["id"]
    document("replay", asleep.pk)
    again = Run.objects.exclude(pk__in=(asleep.pk, new)).get()
    for run in (get_run(new), again):
        assert run.history()[0].details["by"] == "deploy@web-1"
    assert "by" not in asleep.history()[0].details


def test_a_user_may_have_no_name(asleep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000710000")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 1000710000)
    monkeypatch.setattr("socket.gethostname", lambda: "pod-7")
    assert run_command("terminate", asleep.pk)[0] == 0
    shown = document("show", asleep.pk)
    assert shown["ended_by"] == "1000710000@pod-7 on the command line"


def test_show_names_nobody_who_is_not_known(asleep: Run) -> None:
    asleep.terminate()
    assert document("show", asleep.pk)["ended_by"] is None
    assert "ended by" not in run_command("show", asleep.pk)[1]


@override_settings(WORKFLOWS={"REDACT": ["password", "customer"]})
def test_values_are_redacted(failed: Run, asleep: Run) -> None:
    for run in (failed, asleep):
        for command in ("show", "events"):
            for more in ((), ("--json",)):
                text = run_command(command, run.pk, *more)[1]
                assert "hunter2" not in text
                assert "[redacted]" in text or command == "events" or run is failed
    assert "[redacted]" in run_command("show", failed.pk)[1]
    assert '"customer": 7' not in run_command("list")[1]


def test_what_would_steer_a_terminal_is_shown_instead(
    workflows: WorkflowTester,
) -> None:
    run = start(napping.options(key="\x1b[2J"), "\x1b[31m")
    for command in (("list",), ("show", run.pk)):
        text = run_command(*command)[1]
        assert "\x1b" not in text
        assert r"\x1b[2J" in text


def test_events_show_the_log(failed: Run) -> None:
    events = document("events", failed.pk)
    assert [event["seq"] for event in events] == [*range(1, len(events) + 1)]
    assert [event["type"] for event in events] == [
        event.type for event in failed.history()
    ]
    lines = run_command("events", failed.pk)[1].splitlines()
    assert lines[0].split() == ["seq", "time", "type", "about", "data"]
    assert [line.split()[3] for line in lines[1:]] == [e["type"] for e in events]


def test_good_ones_are_done_and_bad_ones_are_named(failed: Run, asleep: Run) -> None:
    exit_code, out, err = run_fully("wake", MISSING, failed.pk, asleep.pk)
    assert exit_code == 1
    assert out == f"{asleep.pk} woken\n"
    missing, closed = err.splitlines()
    assert missing.startswith(f"{MISSING}: there is no workflow run")
    assert closed.startswith(f"{failed.pk}: ")
    assert "is failed" in closed


@pytest.mark.parametrize("text", ["a\0b", "\udcff", "ü"])
def test_what_can_be_no_id_hinders_no_other(asleep: Run, text: str) -> None:
    exit_code, out, err = run_fully("wake", text, asleep.pk)
    assert (exit_code, out) == (1, f"{asleep.pk} woken\n")
    assert err == f"{text}: there is no workflow run {text!r}\n"


def test_steering_as_json(failed: Run, asleep: Run) -> None:
    exit_code, out, err = run_fully("pause", failed.pk, asleep.pk, "--json")
    told = json.loads(out)
    assert exit_code == 1
    assert told["done"] == [asleep.pk]
    assert set(told["refused"]) == {failed.pk}
    assert failed.pk in err


def test_steering_by_filter(workflows: WorkflowTester) -> None:
    runs = [start(napping.options(attributes={"customer": n})) for n in (7, 7, 8)]
    text = run_command("terminate", "--filter", "attributes.customer=7")[1]
    assert sorted(text.splitlines()) == sorted(f"{r.pk} terminated" for r in runs[:2])
    assert [Run.objects.get(pk=run.pk).status for run in runs] == [
        "terminated", "terminated", "pending",
    ]  # fmt: skip
    text = run_command("terminate", "--filter", "attributes.customer=9")[1]
    assert text == "There is no such run.\n"


def test_every_action_does_what_the_run_s_method_does(
    workflows: WorkflowTester, asleep: Run
) -> None:
    def do(command: str) -> Run:
        assert run_command(command, asleep.pk)[0] == 0
        workflows.run_until_idle()
        asleep.refresh_from_db()
        return asleep

    assert do("pause").status == "paused"
    assert do("resume").status == "running"
    assert do("wake").status == "completed"
    told = document("replay", asleep.pk)
    assert Run.objects.get(pk=told["started"][asleep.pk]).args == ("Ada",)
    text = run_command("replay", asleep.pk)[1]
    assert text.startswith(f"{asleep.pk} started again as wrun_")
