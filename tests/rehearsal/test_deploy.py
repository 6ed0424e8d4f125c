"""A deploy while 50 runs are open, in every state that a run can be in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from django_workflows import resume_hook
from django_workflows.models import Event, Hook, Run
from tests.cluster.harness import DEADLINE, ClusterProcess, until
from tests.databases import url_of
from tests.faults import checks
from tests.rehearsal.steps import GATE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
]

DEPLOYS = Path(__file__).with_name("deploys")
SETTINGS = "tests.rehearsal.settings"

#: What is begun before the deploy, and what is started and not begun.
BEGUN = {
    "asleep": 8,
    "on a hook": 4,
    "basket": 2,  # and a child of each
    "in a step": 4,
    "retrying": 4,
    "packing": 4,
    "signup": 6,
    "quote": 4,
    "audit": 4,
}
NOT_BEGUN = {"straight": 4, "asleep": 2, "signup": 1, "quote": 1}
PAUSED = 4  # of those asleep
#: Kinds of orders that have passed the point which the new code changes.
PASSED = ("asleep", "on a hook", "child", "in a step", "retrying")

#: How a log ends while its run waits for something from outside.
SUSPENDED = {
    "asleep": {"wait_created"},
    "on a hook": {"hook_created"},
    "child": {"hook_created"},
    "signup": {"hook_created"},
    "quote": {"hook_created"},
    "basket": {"child_created"},
    "in a step": {"step_started"},
    "packing": {"step_started"},
    "retrying": {"step_retrying", "step_started"},
}

Ids = dict[str, list[str]]


class Project:
    """The rehearsed project: one database, and the code that was deployed last."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._clusters = ExitStack()
        self._url = url_of(connection.settings_dict)
        monkeypatch.setenv("MARKS", str(folder / "marks"))
        monkeypatch.setenv("DATABASE_URL", self._url)
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", SETTINGS)

    def deploy(self, state: str) -> None:
        """Put the code of one of the folders in place, for processes begun from now."""
        self.code = DEPLOYS / state / "rehearsed" / "workflows.py"
        self._monkeypatch.setenv("PYTHONPATH", str(DEPLOYS / state))

    def serve(self) -> ClusterProcess:
        """Start a cluster with the deployed code, in place of any before it."""
        command = ("workflows", f"--settings={SETTINGS}", "worker", "--processes", "2")
        cluster = ClusterProcess(self._url, self._folder, *command)
        return self._clusters.enter_context(cluster)

    def run(self, *arguments: str, code: int = 0) -> Any:
        """The JSON that a command of the deployed code prints."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def place(self, wanted: dict[str, int], number: int) -> Ids:
        """Start runs with the deployed code."""
        text = json.dumps(wanted)
        placed: Ids = self.run("tests.rehearsal.place", text, str(number))
        return placed

    def check_replay(self, code: int) -> dict[str, Any]:
        """What the deployed code would block, by run."""
        command = ("django", "workflows", "check-replay", "--json")
        report = self.run(*command, code=code)
        assert report["checked"] == Run.objects.open().count()
        return {broken["run"]: broken for broken in report["broken"]}

    def close(self) -> None:
        self._clusters.close()


@pytest.fixture
def project(
    transactional_db: None,
    sessions_end: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    project = Project(tmp_path, monkeypatch)
    yield project
    project.close()


def stop(cluster: ClusterProcess) -> None:
    os.kill(cluster.pid, signal.SIGTERM)
    assert cluster.end() == 0
    assert not cluster.session()


def open_runs(project: Project) -> tuple[Ids, Ids]:
    """50 open runs of the old code, and nobody who serves them: those begun, in
    whatever state, and those that are not."""
    project.deploy("old")
    cluster = project.serve()
    begun = project.place(BEGUN, 0)
    until(lambda: not unsettled(begun), "every run to be where it has to be")
    children = Run.objects.filter(parent__in=begun["basket"])
    begun["child"] = list(children.values_list("pk", flat=True))
    until(lambda: not unsettled(begun), "their children to be there too")
    paused = begun["asleep"][:PAUSED]
    for run in Run.objects.filter(pk__in=paused):
        run.pause()
    until(lambda: status_of(paused) == {"paused"}, "paused runs")
    stop(cluster)
    not_begun = project.place(NOT_BEGUN, 100)
    assert len(begun["child"]) == len(begun["basket"])
    assert Run.objects.open().count() == 50
    assert Run.objects.filter(status="pending").count() == sum(NOT_BEGUN.values())
    assert Run.objects.exclude(blocked_reason="").count() == BEGUN["audit"]
    return begun, not_begun


def unsettled(placed: Ids) -> set[str]:
    """Runs whose log does not end as it will while nothing happens from outside."""
    types: dict[str, list[str]] = {}
    events = Event.objects.filter(seq__isnull=False).order_by("run", "seq")
    for run_id, kind in events.values_list("run", "type"):
        types.setdefault(run_id, []).append(kind)
    found = set()
    for kind, last in SUSPENDED.items():
        for run_id in placed.get(kind, ()):
            passed = kind not in PASSED or "step_completed" in types[run_id]
            if types[run_id][-1] not in last or not passed:
                found.add(run_id)
    audits = Run.objects.filter(pk__in=placed.get("audit", ()))
    return found | set(audits.filter(blocked_reason="").values_list("pk", flat=True))


def status_of(ids: list[str]) -> set[str]:
    return set(Run.objects.filter(pk__in=ids).values_list("status", flat=True))


def let_go_on(cluster: ClusterProcess, begun: Ids, not_begun: Ids) -> None:
    """Everything comes that the open runs wait for, once they all have begun."""
    until(lambda: not unsettled(not_begun), "the rest to begin")
    cluster.open_gate(GATE)
    for run in Run.objects.filter(pk__in=begun["asleep"] + not_begun["asleep"]):
        if run.status == "paused":
            run.resume()
        run.wake()
    for token in list(Hook.objects.values_list("token", flat=True)):
        resume_hook(token, token.partition("-")[0])


def all_finish() -> None:
    until(lambda: not Run.objects.open().exists(), "all runs to finish")
    for run in Run.objects.all():
        checks.check_log(run)


def outputs(ids: list[str]) -> set[Any]:
    runs = Run.objects.filter(pk__in=ids)
    assert {run.status for run in runs} == {"completed"}
    return {
        tuple(output) if isinstance(output := run.output, list) else output
        for run in runs
    }


def check_results(begun: Ids, not_begun: Ids, marks: Counter[str]) -> None:
    """Every run has gone by the code that it began with, where it had passed it."""
    old, new = ("packed", "shipped"), ("packed", "insured", "shipped")
    for kind in PASSED:
        assert outputs(begun[kind]) == {old}, kind
    assert outputs(begun["basket"]) == {old}
    assert outputs(begun["packing"]) == {new}
    assert outputs(not_begun["straight"] + not_begun["asleep"]) == {new}
    assert outputs(begun["signup"] + not_begun["signup"]) == {"signup enrolled"}
    assert outputs(begun["quote"] + not_begun["quote"]) == {"quote quoted"}
    assert outputs(begun["audit"]) == {("packed", "audited")}
    ended = {key: n for key, n in marks.items() if not key.endswith("-begun")}
    assert set(ended.values()) == {1}, "a step that had ended ran again"
    insured = [key for key in ended if key.startswith("insure-")]
    assert len(insured) == len(begun["packing"]) + 6


def test_deploy_with_a_patch_an_alias_and_a_new_version(project: Project) -> None:
    begun, not_begun = open_runs(project)
    project.deploy("new")
    assert project.check_replay(code=0) == {}
    cluster = project.serve()
    let_go_on(cluster, begun, not_begun)
    fresh = project.place({"straight": 1, "quote": 1}, 200)
    all_finish()
    check_results(begun, not_begun, cluster.marks() - Counter({"insure-200": 1}))
    assert outputs(fresh["straight"]) == {("packed", "insured", "shipped")}
    assert outputs(fresh["quote"]) == {"quoted at once"}
    assert not Run.objects.exclude(blocked_reason="").exists()


def test_deploy_without_the_patch_is_named_beforehand_and_mended(
    project: Project,
) -> None:
    begun, not_begun = open_runs(project)
    affected = {run_id for kind in PASSED for run_id in begun[kind]}
    logs = {run_id: log_of(run_id) for run_id in affected}
    project.deploy("unguarded")
    broken = project.check_replay(code=1)
    assert broken.keys() == affected
    line = 1 + project.code.read_text()[
        : project.code.read_text().index("insure(number)")
    ].count("\n")
    for found in broken.values():
        assert (found["file"], found["line"]) == (str(project.code), line)
        assert found["workflow"] == "rehearsed.workflows.order"
        assert found["seq"] == 6
        assert "step_created tests.rehearsal.steps.insure" in found["message"]
    # Deployed all the same, it blocks these runs and no other, and harms none.
    cluster = project.serve()
    let_go_on(cluster, begun, not_begun)
    until(lambda: blocked() == affected, "the affected runs to be blocked")
    held_up = affected | set(begun["basket"])  # by its child
    until(lambda: still_open() == held_up, "the others to end")
    for run_id, before in logs.items():
        assert log_of(run_id)[: len(before)] == before
    stop(cluster)
    assert project.check_replay(code=1).keys() == affected
    # The mended code takes all of them up by itself.
    project.deploy("new")
    assert project.check_replay(code=0) == {}
    cluster = project.serve()
    all_finish()
    check_results(begun, not_begun, cluster.marks())


def log_of(run_id: str) -> list[tuple[int | None, str]]:
    events = Event.objects.filter(run=run_id, seq__isnull=False).order_by("seq")
    return list(events.values_list("seq", "type"))


def blocked() -> set[str]:
    runs = Run.objects.filter(blocked_reason__startswith="NonDeterminismError")
    return set(runs.values_list("pk", flat=True))


def still_open() -> set[str]:
    return set(Run.objects.open().values_list("pk", flat=True))
