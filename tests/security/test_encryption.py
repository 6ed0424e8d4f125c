"""With a codec that encrypts, nothing can be read in the database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_workflows import (
    SerializationError,
    UnknownCodeError,
    WorkflowRunFailedError,
    get_run,
    resume_hook,
    start,
)
from django_workflows.core.payloads import seal, unseal
from django_workflows.core.serialization import dumps, loads
from django_workflows.models import Event, Run
from django_workflows.testing import WorkflowTester
from tests.security import workflows as flows
from tests.security.markers import Spy, mark

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
CHANNELS = (
    "run_input",
    "run_option",
    "run_output",
    "run_error",
    "error_argument",
    "step_argument",
    "step_option",
    "step_result",
    "step_error",
    "cause_of_error",
    "attribute_of_error",
    "retried_error",
    "heartbeat_details",
    "argument_of_retried",
    "argument_of_failing",
    "argument_of_starting",
    "argument_on_another_queue",
    "input_of_started_run",
    "child_input",
    "child_output",
    "child_error",
    "input_of_failing_child",
    "compensation_argument",
    "compensation_error",
    "hook_metadata",
    "hook_payload",
    "metadata_of_carried",
    "unread_payload",
    "late_payload",
    "carried_payload",
    "argument_of_successor",
    "unreadable_payload",
)


def encrypted(*keys: str) -> dict[str, Any]:
    return {
        "PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec",
        "ENCRYPTION_KEYS": list(keys),
    }


@pytest.fixture
def spy() -> Iterator[Spy]:
    yield Spy(*CHANNELS)
    flows.Fragile.readable = True


def pass_everything(workflows: WorkflowTester, spy: Spy) -> None:
    """Send every marked value through, and look after each part of the way."""
    workflows.queues = ("default",)
    run = start(flows.everything, mark("run_input"), option=[mark("run_option")])
    start(flows.waits_elsewhere)
    failing = start(flows.fails, mark("error_argument"))
    handing_on = start(flows.hands_on, 1, 0)
    spy.look_at_database()
    workflows.run_until_idle()
    spy.look_at_database()
    workflows.advance("2m")
    spy.look_at_database()
    resume_hook("first", mark("hook_payload"))
    for payload in ("carried_payload", "unread_payload"):
        resume_hook("carried", mark(payload))
    spy.look_at_database()
    workflows.advance("1h")
    handing_on.refresh_from_db()
    assert handing_on.status == "continued_as_new"
    spy.look_at_database()
    last = Run.objects.get(continued_from=handing_on)
    last.pause()
    workflows.advance("2h")
    resume_hook("carried", mark("late_payload"))
    spy.look_at_database()
    last.resume()
    workflows.run_until_idle()
    spy.look_at_database()
    assert last.result() == [mark("carried_payload"), mark("unread_payload")]
    assert run.result() == mark("run_output")
    with pytest.raises(WorkflowRunFailedError) as caught:
        failing.result()
    assert caught.value.cause.detail == mark("error_argument")  # type: ignore[union-attr]
    failing.fork(from_step=2)
    run.replay()
    block(workflows)
    spy.look_at_database()


def block(workflows: WorkflowTester) -> None:
    """Block a run by a payload that today's code cannot read."""
    run = start(flows.takes_fragile, flows.Fragile(mark("unreadable_payload")))
    flows.Fragile.readable = False
    workflows.run_until_idle()
    assert "Fragile.__workflow_decode__ failed" in get_run(run.pk).blocked_reason


def test_without_a_codec_everything_is_found(
    workflows: WorkflowTester, spy: Spy
) -> None:
    """So the spy looks where there is something to be seen."""
    pass_everything(workflows, spy)
    assert spy.found == set(CHANNELS)


def test_with_encryption_nothing_is_found(
    workflows: WorkflowTester, spy: Spy, settings: Any
) -> None:
    settings.WORKFLOWS = encrypted(NEW)
    pass_everything(workflows, spy)
    assert spy.found == set()


# -- keys ----------------------------------------------------------------------------


def test_rotation_of_keys(workflows: WorkflowTester, settings: Any) -> None:
    settings.WORKFLOWS = encrypted(OLD)
    run = start(flows.waits, 1)
    workflows.run_until_idle()
    settings.WORKFLOWS = encrypted(NEW, OLD)
    workflows.crash()
    resume_hook("inbox", 2)
    workflows.run_until_idle()
    assert run.result() == [1, 2]
    other = start(flows.waits, 3)
    workflows.run_until_idle()
    resume_hook("inbox", 4)
    workflows.run_until_idle()
    settings.WORKFLOWS = encrypted(NEW)
    assert other.result() == [3, 4]
    assert run.result() == [1, 2]
    with pytest.raises(UnknownCodeError, match="ENCRYPTION_KEYS"):
        assert get_run(run.pk).args


def test_run_whose_key_is_gone_waits_for_it(
    workflows: WorkflowTester, settings: Any
) -> None:
    settings.WORKFLOWS = encrypted(OLD)
    run = start(flows.waits, 1)
    workflows.run_until_idle()
    settings.WORKFLOWS = encrypted(NEW)
    workflows.crash()
    resume_hook("inbox", 2)
    log = len(run.history())
    workflows.run_until_idle()
    blocked = get_run(run.pk)
    assert (blocked.status, len(blocked.history())) == ("running", log)
    assert "ENCRYPTION_KEYS" in blocked.blocked_reason
    settings.WORKFLOWS = encrypted(NEW, OLD)
    blocked.resume()
    workflows.run_until_idle()
    assert run.result() == [1, 2]


def test_damaged_ciphertext_blocks_its_run_only(
    workflows: WorkflowTester, settings: Any
) -> None:
    settings.WORKFLOWS = encrypted(NEW)
    run = start(flows.waits, 1)
    workflows.run_until_idle()
    event = Event.objects.get(run=run, type="step_completed")
    payload = bytearray(event.payload or b"")
    payload[-20] ^= 1
    Event.objects.filter(pk=event.pk).update(payload=bytes(payload))
    workflows.crash()
    resume_hook("inbox", 2)
    other = start(flows.fails, 3)
    workflows.run_until_idle()
    assert get_run(other.pk).status == "failed"
    assert "not what was encrypted" in get_run(run.pk).blocked_reason


@given(value=st.text(max_size=20), data=st.data())
def test_no_bit_of_a_ciphertext_can_be_changed(value: str, data: st.DataObject) -> None:
    """What comes out is what went in, or nothing."""
    with override_settings(WORKFLOWS=encrypted(NEW, OLD)):
        sealed = seal(dumps(value))
        bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
        number = int.from_bytes(sealed, "big") ^ (1 << bit)
        try:
            found = loads(unseal(number.to_bytes(len(sealed), "big")))
        except (SerializationError, UnknownCodeError):
            return
        assert found == value
