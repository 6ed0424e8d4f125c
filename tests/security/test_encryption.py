"""With a codec that encrypts, nothing can be read in the database."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.apps import apps
from django.db.models import BinaryField
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_workflows import (
    SerializationError,
    UnknownCodeError,
    get_run,
    resume_hook,
    start,
)
from django_workflows.core.payloads import seal, unseal
from django_workflows.core.serialization import dumps, loads
from django_workflows.models import Event
from django_workflows.testing import WorkflowTester
from tests.security import workflows as flows
from tests.security.markers import Spy, mark
from tests.security.passing import PAYLOADS, TOKENS, pass_everything

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def encrypted(*keys: str) -> dict[str, Any]:
    return {
        "PAYLOAD_CODEC": "django_workflows.codecs.FernetCodec",
        "ENCRYPTION_KEYS": list(keys),
    }


def test_without_a_codec_everything_is_found(
    workflows: WorkflowTester,
) -> None:
    """So the spy looks where there is something to be seen: in every column of bytes,
    whoever adds one."""
    spy = Spy(*PAYLOADS, *TOKENS)
    pass_everything(workflows, spy.look_at_database)
    assert spy.found == {*PAYLOADS, *TOKENS}
    columns = {
        (model._meta.db_table, field.column)
        for model in apps.get_app_config("django_workflows").get_models()
        for field in model._meta.concrete_fields
        if isinstance(field, BinaryField)
    }
    assert columns - spy.places == {("django_workflows_run", "seed")}


def test_with_encryption_nothing_is_found(
    workflows: WorkflowTester, settings: Any
) -> None:
    """Nothing but tokens, by which hooks are found."""
    settings.WORKFLOWS = encrypted(NEW)
    spy = Spy(*PAYLOADS, *TOKENS)
    pass_everything(workflows, spy.look_at_database)
    assert spy.found == set(TOKENS)


# -- keys ----------------------------------------------------------------------------


def test_rotation_of_keys(workflows: WorkflowTester, settings: Any) -> None:
    settings.WORKFLOWS = encrypted(OLD)
    run = start(flows.waits, 1)
    workflows.run_until_idle()
    settings.WORKFLOWS = encrypted(NEW, OLD)
    workflows.crash()
    resume_hook(mark("inbox_token"), 2)
    workflows.run_until_idle()
    assert run.result() == [1, 2]
    other = start(flows.waits, 3)
    workflows.run_until_idle()
    resume_hook(mark("inbox_token"), 4)
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
    resume_hook(mark("inbox_token"), 2)
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
    resume_hook(mark("inbox_token"), 2)
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
