"""A run over HTTP: what it shows, its log and its steps, and what is kept back."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_workflows import resume_hook, start
from django_workflows.models import Event, Hook, Run, Step
from django_workflows.store import control
from django_workflows.store.people import steering
from django_workflows.testing import WorkflowTester
from tests.api.conftest import API
from tests.api.workflows import paying, plain, sleeping, waiting

SECRET = "hunter2"


def get(client: APIClient, run: Run, path: str = "", query: str = "") -> Any:
    answer = client.get(f"{API}runs/{run.pk}/{path}{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def post(client: APIClient, run: Run, action: str, **body: Any) -> Any:
    return client.post(f"{API}runs/{run.pk}/{action}/", body, format="json")


def everything(client: APIClient, run: Run) -> str:
    """All that the API says of a run."""
    parts = [get(client, run, path) for path in ("", "events/", "steps/")]
    return json.dumps([*parts, client.get(f"{API}runs/").json()])


def test_a_run_shows_what_it_was_given_and_what_came_of_it(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(
        paying.options(key="k", attributes={"customer": 7}, priority=3), Decimal("1.50")
    )
    workflows.run_until_idle()
    shown = get(staff, run)
    run.refresh_from_db()
    assert run.started_at is not None
    assert shown == {
        "id": run.pk,
        "workflow": "api.pay",
        "version": "",
        "status": "completed",
        "key": "k",
        "queue": "default",
        "priority": 3,
        "attributes": {"customer": 7},
        "parent": None,
        "root": None,
        "continued_from": None,
        "created_at": run.created_at.isoformat().replace("+00:00", "Z"),
        "started_at": run.started_at.isoformat().replace("+00:00", "Z"),
        "finished_at": shown["finished_at"],
        "wake_at": None,
        "deadline_at": None,
        "attempt": 1,
        "is_closed": True,
        "is_waiting": False,
        "blocked_reason": "",
        "url": run.url,
        "args": ["1.50"],
        "kwargs": {},
        "output": {"paid": "1.50"},
        "error": None,
    }


def test_a_waiting_run_says_so(staff: APIClient, anns_run: Run) -> None:
    shown = get(staff, anns_run)
    assert (shown["status"], shown["is_waiting"]) == ("running", True)
    assert (shown["is_closed"], shown["output"]) == (False, None)


def test_a_failed_run_shows_its_error_and_nobody_a_traceback(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(paying, Decimal(-1), password=SECRET)
    workflows.run_until_idle()
    shown = get(staff, run)
    assert shown["status"] == "failed"
    assert shown["error"] == {
        "type": "ValueError",
        "message": f"amount=-1 cannot be paid with password={SECRET}",
    }
    (step,) = get(staff, run, "steps/")["results"]
    assert (step["status"], step["error"]) == ("failed", shown["error"])
    told = everything(staff, run)
    assert "Traceback" not in told
    assert 'File \\"' not in told


def test_a_blocked_run_says_why_without_a_stack(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(sleeping)
    Run.objects.filter(pk=run.pk).update(
        status="running", blocked_reason="Error: too long\n  File x.py, line 1"
    )
    assert get(staff, run)["blocked_reason"] == "Error: too long"


def test_the_events_are_the_log(staff: APIClient, workflows: WorkflowTester) -> None:
    run = start(paying, Decimal(1))
    workflows.run_until_idle()
    shown = get(staff, run, "events/")["results"]
    log = run.history()
    assert [event["seq"] for event in shown] == [event.seq for event in log]
    assert [event["type"] for event in shown] == [event.type for event in log]
    assert shown[0]["data"] == {"args": ["1"], "kwargs": {}}
    assert shown[-1]["data"] == {"output": {"paid": "1"}}
    assert set(shown[0]) == {"seq", "type", "correlation_id", "data", "created_at"}


def test_events_come_in_pages_and_by_type(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(paying, Decimal(1))
    workflows.run_until_idle()
    step = Step.objects.get()
    first = get(staff, run, "events/", "?page_size=4")
    rest = staff.get(first["next"]).json()
    seqs = [event["seq"] for event in first["results"] + rest["results"]]
    assert seqs == [event.seq for event in run.history()]
    turned = get(staff, run, "events/", "?ordering=-seq")["results"]
    assert [event["seq"] for event in turned] == seqs[::-1]
    (completed,) = get(staff, run, "events/", "?type=step_completed")["results"]
    assert completed["data"] == {"output": {"paid": "1"}}
    of_step = get(staff, run, "events/", f"?correlation_id={step.pk}")["results"]
    assert {event["correlation_id"] for event in of_step} == {step.pk}
    assert len(of_step) == 3


def test_what_has_not_been_taken_in_is_no_event_yet(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(waiting)
    workflows.run_until_idle()
    resume_hook("secret-token", 1)
    assert Event.objects.filter(run=run, seq=None).count() == 1
    shown = get(staff, run, "events/")["results"]
    assert "hook_received" not in [event["type"] for event in shown]


def test_steps_show_what_they_were_given_and_returned(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(paying, Decimal(2))
    workflows.run_until_idle()
    (step,) = get(staff, run, "steps/")["results"]
    row = Step.objects.get()
    assert (step["id"], step["name"], step["status"]) == (row.pk, row.name, "completed")
    assert (step["attempt"], step["errors"], step["crashes"]) == (1, 0, 0)
    assert (step["args"], step["kwargs"]) == (["2"], {"password": ""})
    assert (step["output"], step["error"]) == ({"paid": "2"}, None)
    for query, count in (
        (f"?name={row.name}", 1),
        ("?name=other", 0),
        ("?status=completed", 1),
        ("?status=failed", 0),
    ):
        assert len(get(staff, run, "steps/", query)["results"]) == count


@pytest.mark.parametrize(
    "path",
    [
        "events/?type=unknown",
        "events/?cursor=x",
        "events/?cursor=WyJuIiwgMTAwMDAwMDAwMDAwMDAwMDAwMDAwXQ==",
        "steps/?status=paused",
        "steps/?page_size=0",
    ],
)
def test_a_parameter_that_means_nothing_is_refused(
    staff: APIClient, anns_run: Run, path: str
) -> None:
    assert staff.get(f"{API}runs/{anns_run.pk}/{path}").status_code == 400


def test_the_queries_do_not_grow_with_what_a_run_has_done(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    few, many = start(plain, 1), start(plain, *range(50))
    paid = [start(paying, Decimal(number)) for number in range(3)]
    workflows.run_until_idle()
    # Three runs' steps as one's.
    Step.objects.filter(run__in=paid).update(run=paid[0])
    counts = {}
    for run, path in ((few, ""), (many, ""), (paid[0], "events/"), (paid[0], "steps/")):
        with CaptureQueriesContext(connection) as captured:
            get(staff, run, path)
        counts[run.pk, path] = len(captured)
    # The session, its user and the run; then its first and last event, a page of
    # events, or a page of steps with their events.
    assert list(counts.values()) == [5, 5, 4, 5]


@override_settings(WORKFLOWS={"REDACT": ["Password", "customer", "paid"]})
def test_what_is_to_be_redacted_is_shown_nowhere(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    runs = [
        start(paying.options(attributes={"customer": SECRET}), Decimal(1), SECRET),
        start(paying, Decimal(-1), password=SECRET),
        start(plain, [{"a": {"PASSWORD": SECRET}}]),
    ]
    workflows.run_until_idle()
    for run in runs:
        assert SECRET not in everything(staff, run)
    shown = get(staff, runs[0])
    assert shown["args"] == ["1", "[redacted]"]
    assert shown["attributes"] == {"customer": "[redacted]"}
    assert shown["output"] == {"paid": "[redacted]"}
    # What is stored is as it was.
    assert runs[0].args == (Decimal(1), SECRET)


def test_secrets_of_the_engine_are_kept_back(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    named, generated = start(waiting), start(waiting, None)
    workflows.run_until_idle()
    tokens = list(Hook.objects.values_list("token", flat=True))
    assert len(tokens) == 2
    resume_hook(tokens[0], {"x": 1})
    workflows.run_until_idle()
    told = everything(staff, generated)
    created = get(staff, named, "events/", "?type=hook_created")["results"]
    assert created[0]["data"] == {"name": "[redacted]", "token": "[redacted]"}
    for run in (named, generated):
        run.refresh_from_db()
        told = everything(staff, run)
        assert bytes(run.seed).hex() not in told
        assert "seed" not in told
        assert run.owner == "" or run.owner not in json.dumps(get(staff, run))
        # Given by the caller as an argument it is the caller's own to show.
        assert all(token not in told for token in tokens)


# --- actions ----------------------------------------------------------------------


def test_cancel_and_terminate_keep_their_reason(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    for action, status in (("cancel", "cancelled"), ("terminate", "terminated")):
        run = start(sleeping)
        workflows.run_until_idle()
        answer = post(staff, run, action, reason="no longer needed")
        assert answer.status_code == 200
        workflows.run_until_idle()
        assert get(staff, run)["status"] == status
        reasons = [event.data.get("reason") for event in run.history()]
        assert "no longer needed" in reasons


def test_pause_and_resume_and_wake(staff: APIClient, workflows: WorkflowTester) -> None:
    run = start(sleeping)
    workflows.run_until_idle()
    assert post(staff, run, "pause").status_code == 200
    workflows.run_until_idle()
    assert get(staff, run)["status"] == "paused"
    assert post(staff, run, "pause").status_code == 409
    assert post(staff, run, "wake").status_code == 200
    assert post(staff, run, "resume").status_code == 200
    workflows.run_until_idle()
    assert get(staff, run)["output"] == "slept"


def test_retry_lets_a_failed_run_go_on(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(paying, Decimal(-1))
    workflows.run_until_idle()
    answer = post(staff, run, "retry")
    assert (answer.status_code, answer.json()["status"]) == (200, "running")
    assert post(staff, run, "retry").status_code == 409


def test_replay_and_fork_answer_with_the_new_run(
    staff: APIClient, workflows: WorkflowTester
) -> None:
    run = start(paying, Decimal(3))
    workflows.run_until_idle()
    step = Step.objects.get()
    for answer in (
        post(staff, run, "replay"),
        post(staff, run, "fork", from_step=step.pk),
        post(staff, run, "fork", from_step=1),
        staff.post(f"{API}runs/{run.pk}/fork/", {"from_step": "1"}),
    ):
        assert answer.status_code == 201, answer.content
        copy = answer.json()
        assert copy["id"] != run.pk
        assert copy["args"] == ["3"]
        assert not copy["is_closed"]
    workflows.run_until_idle()
    assert Run.objects.filter(status="completed").count() == 5


@pytest.mark.parametrize(
    "from_step", [None, "", "unknown", "9", 99, -1, 10**30, 1.5, True, [], {}]
)
def test_a_wrong_step_to_fork_from_is_refused(
    staff: APIClient, anns_run: Run, from_step: Any
) -> None:
    answer = post(staff, anns_run, "fork", from_step=from_step)
    assert answer.status_code == 400
    assert list(answer.json()) == ["from_step"]
    assert Run.objects.count() == 1


@pytest.mark.parametrize("reason", ["x" * 1001, ["x"], "a\0b"])
def test_a_reason_is_a_text(staff: APIClient, anns_run: Run, reason: Any) -> None:
    answer = post(staff, anns_run, "cancel", reason=reason)
    assert answer.status_code == 400
    assert list(answer.json()) == ["reason"]


@pytest.mark.parametrize(
    "action", ["cancel", "terminate", "pause", "resume", "retry", "wake"]
)
def test_what_is_impossible_is_a_conflict_and_changes_nothing(
    staff: APIClient, workflows: WorkflowTester, action: str
) -> None:
    run = start(plain, 1)
    workflows.run_until_idle()
    before = get(staff, run)
    answer = post(staff, run, action)
    assert answer.status_code == 409
    assert run.pk in answer.json()["detail"]
    assert get(staff, run) == before


def test_a_run_that_is_deleted_meanwhile_is_not_found(
    staff: APIClient, anns_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(run: Run, reason: str = "") -> bool:
        Run.objects.filter(pk=run.pk).delete()
        return control.cancel(run, reason)

    monkeypatch.setitem(steering._VERBS, "cancel", late)
    assert post(staff, anns_run, "cancel").status_code == 404
