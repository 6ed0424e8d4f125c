"""Django model instances go by reference."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from django.utils.functional import SimpleLazyObject

from django_workflows.core.serialization import (
    ModelRef,
    canonical,
    dumps,
    dumps_call,
    loads,
    loads_call,
    to_plain,
)
from django_workflows.errors import ModelGoneError, UnknownCodeError
from tests.app.models import Marker


def _stored(pk: int) -> Marker:
    """An instance that looks as if it came from the database."""
    return Marker.from_db("default", ["id", "name"], [pk, "m"])


def test_workflow_code_gets_a_reference() -> None:
    back = loads(dumps({"marker": _stored(5)}))
    assert back == {"marker": ModelRef("testapp", "marker", 5, "default")}
    assert back["marker"].pk == 5
    assert str(back["marker"]) == "testapp.marker:5"


def test_a_reference_is_written_like_its_instance() -> None:
    data = dumps_call((_stored(5),), {})
    (reference,), _ = loads_call(data)
    assert dumps_call((reference,), {}) == data
    assert canonical(data) == canonical(dumps_call((reference,), {}))


def test_people_see_label_and_key() -> None:
    assert to_plain(dumps([_stored(5)])) == ["testapp.marker:5"]


def test_a_shared_instance_stays_one() -> None:
    marker = _stored(5)
    first, second = loads(dumps([marker, marker]))
    assert first is second


def test_a_lazy_user_counts_as_the_user() -> None:
    lazy = SimpleLazyObject(lambda: _stored(7))
    assert loads(dumps(lazy)) == ModelRef("testapp", "marker", 7)


def test_the_database_alias_is_kept() -> None:
    marker = Marker.from_db("replica", ["id"], [5])
    assert loads(dumps(marker)).using == "replica"


@pytest.mark.django_db
def test_a_step_gets_a_fresh_instance() -> None:
    marker = Marker.objects.create(name="old")
    data = dumps_call((marker,), {"again": [marker]})
    Marker.objects.update(name="new")
    (fresh,), kwargs = loads_call(data, fetch_models=True)
    assert type(fresh) is Marker
    assert fresh.name == "new"
    assert fresh is not marker
    assert kwargs["again"][0] is fresh
    assert (
        loads(dumps(ModelRef("testapp", "marker", marker.pk)), fetch_models=True)
        == fresh
    )


@pytest.mark.django_db
def test_a_deleted_instance_is_gone() -> None:
    marker = Marker.objects.create(name="x")
    data = dumps([marker])
    pk = marker.pk
    marker.delete()
    with pytest.raises(
        ModelGoneError, match=rf"marker with the primary key {pk} is gone"
    ):
        loads(data, fetch_models=True)
    assert loads(data)[0].pk == pk


def test_an_unknown_model_is_unknown_code() -> None:
    data = dumps(ModelRef("nowhere", "nothing", 1))
    assert loads(data).label == "nowhere.nothing"
    with pytest.raises(UnknownCodeError, match=r"nowhere\.nothing"):
        loads(data, fetch_models=True)


def test_a_models_own_exceptions_come_back() -> None:
    assert type(loads(dumps(Marker.DoesNotExist("x")))) is Marker.DoesNotExist


def test_the_serialization_works_without_configured_apps() -> None:
    code = """
        import sys
        from decimal import Decimal
        from django_workflows.core.serialization import dumps, loads
        value = {"a": (1, Decimal("2.5"), ValueError("x"))}
        assert loads(dumps(value))["a"][:2] == value["a"][:2]
        for module in ("django.db.models", "numpy", "pydantic"):
            assert module not in sys.modules, module
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)
