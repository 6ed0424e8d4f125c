from __future__ import annotations

from django_workflows.checks.definitions import check_definitions
from tests.checks.conftest import Define


def test_definitions_in_order_give_no_message(define: Define) -> None:
    define(
        """
        from django_workflows.replay.definitions import step, workflow

        @step
        def charge(): ...

        class Shop:
            @step
            def ship(self): ...

        @workflow
        async def order(): ...

        @workflow(version="2", name="order")
        async def order_2(): ...

        @workflow(version="3", name="order")
        async def order_3(): ...
        """
    )
    assert check_definitions() == []


def test_workflow_not_async_is_an_error(define: Define) -> None:
    module = define(
        """
        from django_workflows.replay.definitions import workflow

        @workflow(name="shop.order")
        def order(): ...
        """
    )
    (message,) = check_definitions()
    assert message.id == "django_workflows.E001"
    assert message.is_serious()
    assert message.obj is module.order
    assert "shop.order" in message.msg
    assert "async def order" in str(message.hint)


def test_duplicate_names_are_errors(define: Define) -> None:
    define(
        """
        from django_workflows.replay.definitions import step, workflow

        @step(name="same")
        def one(): ...

        @step(name="same")
        def two(): ...

        @workflow(name="same")
        async def three(): ...

        @workflow(name="same")
        async def four(): ...
        """
    )
    messages = check_definitions()
    assert [message.id for message in messages] == ["django_workflows.E002"] * 2
    assert all("'same'" in message.msg for message in messages)
    assert all("Rename" in str(message.hint) for message in messages)


def test_aliases_that_collide_are_errors(define: Define) -> None:
    define(
        """
        from django_workflows.replay.definitions import workflow

        @workflow(name="shop.old")
        async def one(): ...

        @workflow(name="shop.new", aliases=["shop.old", "shop.older"])
        async def two(): ...

        @workflow(name="shop.newest", aliases=["shop.older"])
        async def three(): ...
        """
    )
    first, second = check_definitions()
    assert (first.id, second.id) == ("django_workflows.E002",) * 2
    assert "'shop.old'" in first.msg
    assert "(alias of 'shop.new')" in first.msg
    assert "'shop.older'" in second.msg
    assert "(alias of 'shop.new')" in second.msg
    assert "(alias of 'shop.newest')" in second.msg
    assert "alias" in str(first.hint)


def test_aliases_of_another_version_do_not_collide(define: Define) -> None:
    define(
        """
        from django_workflows.replay.definitions import workflow

        @workflow(name="shop.old", version="1")
        async def one(): ...

        @workflow(name="shop.new", version="2", aliases=["shop.old"])
        async def two(): ...
        """
    )
    assert check_definitions() == []


def test_nested_definitions_are_errors(define: Define) -> None:
    define(
        """
        from django_workflows.replay.definitions import step, workflow

        def make():
            @step
            def charge(): ...

            @workflow
            async def order(): ...

        make()
        """
    )
    messages = check_definitions()
    assert [message.id for message in messages] == ["django_workflows.E003"] * 2
    assert ".py:9)" in messages[0].msg or ".py:8)" in messages[0].msg
    assert "top level" in str(messages[0].hint)


def test_an_annotation_that_cannot_be_found_is_warned_of(define: Define) -> None:
    module = define(
        """
        from __future__ import annotations

        from typing import TYPE_CHECKING

        from django_workflows.replay.definitions import workflow

        if TYPE_CHECKING:
            from somewhere import Item

        @workflow(name="shop.open", api=True)
        async def order(known: int, unknown: Item, plain=1): ...

        @workflow(name="shop.closed")
        async def closed(unknown: Item): ...
        """
    )
    (message,) = check_definitions()
    assert message.id == "django_workflows.W003"
    assert not message.is_serious()
    assert message.obj is module.order
    assert "'unknown'" in message.msg
    assert "'Item'" in message.msg


def test_definitions_as_classes_are_checked(define: Define) -> None:
    module = define(
        """
        from django_workflows import DefinedWorkflow

        class Care(DefinedWorkflow):
            id = "care"
            steps = [{"id": "visit", "action": "visit"}]

            def visit(self, params): ...

        class Broken(DefinedWorkflow):
            id = "broken"
            steps = [{"id": "visit", "action": "visit", "dependsOn": ["nowhere"]}]
        """
    )
    messages = check_definitions()
    assert [message.id for message in messages] == ["django_workflows.E004"] * 2
    assert all(message.obj is module.Broken for message in messages)
    assert "'broken'" in messages[0].msg
    assert "there is no step 'nowhere'" in messages[0].msg
    assert "action: there is no 'visit'" in messages[1].msg


def test_two_definitions_or_actions_of_one_name_are_errors(define: Define) -> None:
    define(
        """
        from django_workflows import DefinedWorkflow, action

        class One(DefinedWorkflow):
            id = "same"

        class Two(DefinedWorkflow):
            id = "same"

        @action("pay")
        def pay(params): ...

        @action("pay")
        def pay_again(params): ...
        """
    )
    messages = check_definitions()
    assert [message.id for message in messages[:2]] == ["django_workflows.E002"] * 2
    assert "'same'" in messages[0].msg
    assert "'pay'" in messages[1].msg


def test_an_action_named_as_one_that_is_built_in_is_an_error(define: Define) -> None:
    """Every worker would take it, also one that lacks it."""
    define(
        """
        from django_workflows import DefinedWorkflow, action

        class Meeting(DefinedWorkflow):
            id = "meeting"
            steps = [{"id": "meet", "action": "noop"}]

            def noop(self, params): ...

        @action("Noop")
        def nothing(params): ...
        """
    )
    messages = check_definitions()
    assert [message.id for message in messages] == ["django_workflows.E002"] * 2
    assert "'noop' of the definition 'meeting'" in messages[0].msg
    assert "'Noop' (" in messages[1].msg
    assert all("built in" in message.msg for message in messages)
