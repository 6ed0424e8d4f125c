"""Runs: one row for each execution of a workflow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import models
from django.utils.translation import gettext_lazy as _

from django_workflows.conf import conf
from django_workflows.core.details import as_object
from django_workflows.core.durations import Duration
from django_workflows.core.texts import is_storable, require_text
from django_workflows.replay.definitions import Workflow
from django_workflows.replay.registry import EXECUTING, registry

if TYPE_CHECKING:
    from django_workflows.models.event import Event


class RunQuerySet(models.QuerySet["Run"]):
    """Runs by where they are in their life."""

    def open(self) -> RunQuerySet:
        """Runs that have not ended."""
        return self.filter(status__in=Run.OPEN)

    def closed(self) -> RunQuerySet:
        """Runs that have ended, in whatever way."""
        return self.exclude(status__in=Run.OPEN)

    def failed(self) -> RunQuerySet:
        """Runs whose workflow raised."""
        return self.filter(status=Run.Status.FAILED)

    def blocked(self) -> RunQuerySet:
        """Runs that cannot go on with today's code."""
        # In the words of the index.
        return self.filter(blocked_times__gt=0, finished_at__isnull=True)

    def for_workflow(self, workflow: Workflow[..., Any] | str) -> RunQuerySet:
        """Runs of one workflow, given by itself or by name: of all its versions, and
        under its former names (`aliases`) too."""
        if isinstance(workflow, Workflow):
            name = workflow.name
        else:
            name = require_text("the name of a workflow", workflow)
        if not is_storable(name):
            return self.none()
        return self.filter(workflow__in=registry.names_of(name))


class Run(models.Model):
    """One execution of a workflow.

    What it was given and what it returned is in its log. Only the store writes here:
    the owner's ``fence`` grows with every change that somebody else makes.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("pending")
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        COMPLETED = "completed", _("completed")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        TERMINATED = "terminated", _("terminated")
        TIMED_OUT = "timed_out", _("timed out")
        CONTINUED_AS_NEW = "continued_as_new", _("continued as new")

    OPEN = (Status.PENDING, Status.RUNNING, Status.PAUSED)

    id = models.CharField(primary_key=True, max_length=40)
    workflow = models.CharField(max_length=255)
    version = models.CharField(max_length=64, default="", blank=True)
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    key = models.CharField(max_length=255, null=True, blank=True, db_column="start_key")
    #: sha256 of the key while this run holds it; given up, it is NULL.
    key_held = models.CharField(max_length=64, null=True, blank=True)
    queue = models.CharField(max_length=100, default="default")
    priority = models.IntegerField(default=0)
    attributes = models.JSONField(default=dict, blank=True)
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="children",
        db_constraint=False,
        db_index=False,
    )
    root = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="descendants",
        db_constraint=False,
        db_index=False,
    )
    continued_from = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="continuations",
        db_constraint=False,
        db_index=False,
    )
    #: The call in the parent's log that this run answers; empty if none waits for it.
    parent_call = models.CharField(max_length=40, default="", db_default="", blank=True)
    #: What becomes of this run when its parent closes: cancel, terminate or abandon.
    parent_close_policy = models.CharField(
        max_length=10, default="", db_default="", blank=True
    )
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    #: When the run is due by itself; NULL while it is owned, paused or closed, and
    #: while it waits for something from outside only.
    wake_at = models.DateTimeField(null=True, blank=True)
    #: Seconds that each run of a chain may take; NULL allows any time.
    timeout = models.FloatField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    #: Seconds for which the run is kept after its end; NULL keeps it for ever.
    retention = models.FloatField(null=True, blank=True)
    #: What the limits of runs are counted by: workflow and concurrency key.
    limit_key = models.CharField(max_length=64, default="", db_default="", blank=True)
    #: The limits that the start gave; NULL and "" stand for the workflow's, 0 and
    #: "none" for none.
    max_concurrency = models.IntegerField(null=True, blank=True)
    rate_limit = models.CharField(max_length=40, default="", db_default="", blank=True)
    #: Since when the run waits for its limits to let it begin; NULL once they did.
    queued_at = models.DateTimeField(null=True, blank=True)
    #: Suspended on timers and hooks only, as of its last release.
    is_waiting = models.BooleanField(default=False)
    #: The worker that advances the run, and how often the run has changed hands.
    owner = models.CharField(max_length=40, default="", blank=True)
    fence = models.BigIntegerField(default=0)
    last_seq = models.IntegerField(default=0)
    epoch = models.IntegerField(default=0)
    attempt = models.IntegerField(default=1)
    #: Secret: tokens, random() and uuid4() of the run derive from it. That of a fork
    #: begins with those of the runs whose history it has.
    seed = models.BinaryField()
    #: Why the run cannot go on with today's code, and with which code that was.
    blocked_reason = models.TextField(default="", blank=True)
    blocked_code = models.CharField(max_length=64, default="", blank=True)
    blocked_times = models.IntegerField(default=0)
    #: Its owner died: 1 after the first time, more if it was the only run at work.
    suspicion = models.IntegerField(default=0)
    #: It is being advanced apart from all other runs, to see whether it kills workers.
    is_alone = models.BooleanField(default=False)

    objects = RunQuerySet.as_manager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["created_at", "id"]
        # Beside Django's own: what people may do to runs, and see of them.
        permissions = [
            ("cancel_run", _("Can cancel runs")),
            ("terminate_run", _("Can terminate runs")),
            ("pause_run", _("Can pause runs")),
            ("resume_run", _("Can resume runs and send payloads to their hooks")),
            ("retry_run", _("Can retry runs")),
            ("replay_run", _("Can replay and fork runs")),
            ("wake_run", _("Can wake runs")),
            ("start_run", _("Can start runs")),
            ("view_payload", _("Can see inputs, outputs and other payloads of runs")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "key_held"],
                name="dw_run_key_unique",
                condition=models.Q(key_held__isnull=False),
            )
        ]
        indexes = [
            models.Index(
                fields=["queue", "wake_at"],
                name="dw_run_due",
                condition=models.Q(wake_at__isnull=False),
            ),
            models.Index(
                fields=["owner"],
                name="dw_run_owner",
                condition=~models.Q(owner=""),
            ),
            models.Index(
                fields=["parent"],
                name="dw_run_parent",
                condition=models.Q(parent__isnull=False),
            ),
            models.Index(
                fields=["continued_from"],
                name="dw_run_continued_from",
                condition=models.Q(continued_from__isnull=False),
            ),
            models.Index(
                fields=["deadline_at"],
                name="dw_run_deadline",
                condition=models.Q(deadline_at__isnull=False, finished_at__isnull=True),
            ),
            models.Index(
                fields=["limit_key", "queued_at"],
                name="dw_run_limited",
                condition=~models.Q(limit_key="") & models.Q(finished_at__isnull=True),
            ),
            # The line of those who wait for a limit, and since when.
            models.Index(
                fields=["limit_key", "-priority", "queued_at", "id"],
                name="dw_run_limit_line",
                condition=models.Q(queued_at__isnull=False, finished_at__isnull=True),
            ),
            models.Index(
                fields=["queue", "queued_at"],
                name="dw_run_queued",
                condition=models.Q(queued_at__isnull=False, finished_at__isnull=True),
            ),
            models.Index(
                fields=["finished_at"],
                name="dw_run_finished",
                condition=models.Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["retention", "finished_at"],
                name="dw_run_retention",
                condition=models.Q(finished_at__isnull=False, retention__isnull=False),
            ),
            models.Index(
                fields=["root"],
                name="dw_run_root",
                condition=models.Q(root__isnull=False),
            ),
            models.Index(
                fields=["workflow"],
                name="dw_run_blocked",
                condition=models.Q(blocked_times__gt=0, finished_at__isnull=True),
            ),
            models.Index(fields=["created_at", "id"], name="dw_run_created"),
            models.Index(
                fields=["workflow", "created_at", "id"], name="dw_run_workflow_created"
            ),
            models.Index(
                fields=["status", "created_at", "id"], name="dw_run_status_created"
            ),
            models.Index(
                fields=["queue", "created_at", "id"], name="dw_run_queue_created"
            ),
            models.Index(
                fields=["key", "created_at", "id"],
                name="dw_run_key_created",
                condition=models.Q(key__isnull=False),
            ),
            # These cost only the runs that are in them.
            models.Index(
                fields=["version", "created_at", "id", "workflow"],
                name="dw_run_version_created",
                condition=~models.Q(version=""),
            ),
            models.Index(
                fields=["workflow", "status", "created_at", "id"],
                name="dw_run_unsuccessful",
                # By `IN` SQLite would make a table of these for each row it writes.
                condition=models.Q(
                    ("status", "failed"),
                    ("status", "cancelled"),
                    ("status", "terminated"),
                    ("status", "timed_out"),
                    _connector=models.Q.OR,
                ),
            ),
            models.Index(
                fields=["status", "finished_at"],
                name="dw_run_failed",
                condition=models.Q(status="failed"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} {self.id}"

    @property
    def title(self) -> str:
        """What people know it by: the name of its workflow, or the id of the definition
        that it executes."""
        return self.definition_id or self.workflow

    @property
    def definition_id(self) -> str:
        """The id of the definition that it executes; empty for other workflows."""
        if self.workflow != EXECUTING:
            return ""
        return str(self.attribute("definition") or "")

    def attribute(self, name: str) -> Any:
        """The value of an attribute; None if there is none of this name."""
        return as_object(self.attributes).get(name)

    @property
    def is_closed(self) -> bool:
        """Whether the run has ended, in whatever way."""
        return self.status not in self.OPEN

    @property
    def url(self) -> str:
        """Where people look at the run."""
        return f"{conf.BASE_URL.rstrip('/')}/runs/{self.id}/"

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments the run was started with."""
        from django_workflows.store import history

        return history.input_of(self)[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments the run was started with."""
        from django_workflows.store import history

        return history.input_of(self)[1]

    @property
    def output(self) -> Any:
        """What the workflow returned; None while it has not completed."""
        from django_workflows.store import history

        return history.output_of(self)

    @property
    def error(self) -> BaseException | None:
        """What the workflow raised, rebuilt; None unless the run has failed."""
        from django_workflows.store import history

        return history.error_of(self)

    def history(self) -> list[Event]:
        """The run's log: its numbered events, in order."""
        from django_workflows.store import history

        return history.history(self)

    async def ahistory(self) -> list[Event]:
        return await sync_to_async(self.history)()

    def result(self, timeout: Duration | None = None) -> Any:
        """Wait for the run's end and return what the workflow returned.

        A run that has continued as new ends with the last run of its chain.

        `timeout` is a duration. Raises WorkflowRunFailedError,
        WorkflowRunCancelledError, WorkflowRunTerminatedError,
        WorkflowRunTimedOutError, TimeoutError, and RuntimeError in a transaction, in
        which the end could never be seen.
        """
        from django_workflows.store import results

        return results.wait_for_result(self, timeout)

    async def aresult(self, timeout: Duration | None = None) -> Any:
        from django_workflows.store import results

        return await results.await_result(self, timeout)

    def stream(self, namespace: str = "", start: int = 0) -> Iterator[Any]:
        """The values of the run's stream, as they come, until it is closed.

        `start` is the index of the first one; a negative one counts from the end. Each
        reader gets every value once, in order; the run's end closes its streams.

        Raises WorkflowRunNotFoundError, and RuntimeError where it would have to wait in
        a transaction, in which nothing new could be seen.
        """
        from django_workflows.store import streams

        return streams.read_stream(self, namespace, start)

    def astream(self, namespace: str = "", start: int = 0) -> AsyncIterator[Any]:
        """The same for ``async for``."""
        from django_workflows.store import streams

        return streams.aread_stream(self, namespace, start)

    def cancel(self, reason: str = "") -> None:
        """Ask the run to stop: CancelledError arrives at its current await.

        A run that has not begun is cancelled without running any code; cancelling a
        cancelled run does nothing. Raises InvalidRunStateError for another closed run.
        """
        from django_workflows.store import control

        control.cancel(self, reason)

    async def acancel(self, reason: str = "") -> None:
        await sync_to_async(self.cancel)(reason)

    def terminate(self, reason: str = "") -> None:
        """End the run at once; none of its code runs any more.

        Raises InvalidRunStateError for a closed run.
        """
        from django_workflows.store import control

        control.terminate(self, reason)

    async def aterminate(self, reason: str = "") -> None:
        await sync_to_async(self.terminate)(reason)

    def pause(self) -> None:
        """Let the run stand still: nothing new of it starts.

        Steps that run come to their end, which is recorded; timers that fall due
        meanwhile fire on ``resume()``. The status changes once the run's owner has
        obeyed. A blocked run is paused when it can go on. Raises InvalidRunStateError
        for a run that is paused or closed.
        """
        from django_workflows.store import control

        control.pause(self)

    async def apause(self) -> None:
        await sync_to_async(self.pause)()

    def resume(self) -> None:
        """Let a paused run go on, and try a blocked one again now.

        Raises InvalidRunStateError for a run that is neither.
        """
        from django_workflows.store import control

        control.resume(self)

    async def aresume(self) -> None:
        await sync_to_async(self.resume)()

    def wake(self) -> None:
        """End the run's current ``sleep()`` calls now.

        Time-outs and the delays of retries stay as they are; a run that sleeps nowhere
        goes on unchanged, a paused one is woken when it is resumed. Raises
        InvalidRunStateError for a closed run.
        """
        from django_workflows.store import control

        control.wake(self)

    async def awake(self) -> None:
        await sync_to_async(self.wake)()

    def retry(self) -> None:
        """Let a failed, timed-out or cancelled run go on in place.

        What was recorded before the failed step that ended it keeps its result; that
        step gets a new attempt with its whole retry policy; what came after it is void
        (what void steps did, compensations included, is not undone). A run that failed
        by an exception of its own code is given the last event again, and a cancelled
        one goes on as if it had not been asked to stop.

        Raises InvalidRunStateError for any other run, and if another run holds its key
        or a hook token it needs; nothing is changed then.
        """
        from django_workflows.store import control

        control.retry(self)

    async def aretry(self) -> None:
        await sync_to_async(self.retry)()

    def replay(self) -> Run:
        """Start a new run with this one's input, which itself stays as it is.

        It has the same queue, priority, attributes, time-out, limits and retention, no
        key, and runs today's code, the newest version of the workflow. Any run can be
        replayed.
        """
        from django_workflows.store import control

        return control.replay(self)

    async def areplay(self) -> Run:
        return await sync_to_async(self.replay)()

    def fork(self, from_step: str | int) -> Run:
        """Start a new run that has this one's history up to a step, and goes on anew.

        `from_step` is the id of a step, or the number (``seq``) of an event. The
        history is cut before the event that made the workflow call it; operations
        without a result there are issued anew. What steps from before the cut have
        written to streams is copied. This run stays as it is.

        Raises ValueError, naming the steps there are, for any other step or event, and
        HookConflictError if the fork would need a hook token that is held.
        """
        from django_workflows.store import control

        return control.fork(self, from_step)

    async def afork(self, from_step: str | int) -> Run:
        return await sync_to_async(self.fork)(from_step)
