"""The runs that a run has to do with, on its page."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from django_workflows import (
    continue_as_new,
    get_run,
    sleep,
    start,
    start_child,
    workflow,
)
from django_workflows.admin.addresses import run_url
from django_workflows.admin.run_page.family import COUNTED, MOST, count, tree_of
from django_workflows.models import Run
from django_workflows.testing import WorkflowTester
from tests.admin.pages import queries_of, read

pytestmark = pytest.mark.django_db


@workflow
async def leaf(number: int) -> int:
    await sleep("1h")
    if number == 1:
        raise ValueError("one too many")
    return number


@workflow
async def branch(leaves: int) -> None:
    for number in range(leaves):
        start_child(leaf, number)
    await sleep("2h")


@workflow
async def tree(branches: int, leaves: int) -> None:
    for _number in range(branches):
        start_child(branch, leaves)
    await sleep("3h")


@workflow
async def again(left: int) -> str:
    await sleep("1h")
    if left:
        continue_as_new(left - 1)
    return "done"


def test_children_are_a_tree_with_their_statuses(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(tree, 1, 2)
    workflows.advance("90m")
    page = read(admin_client, run_url(run))
    assert "1 running" in page
    first, second = Run.objects.filter(workflow=leaf.name).order_by("pk")
    [middle] = run.children.all()
    place = [page.index(each.pk) for each in (middle, first, second)]
    assert place == sorted(place)
    assert f"{first.pk} completed" in page
    assert f"{second.pk} failed" in page
    assert f"{middle.pk} waiting" in page
    assert run_url(second) in admin_client.get(run_url(run)).content.decode()


def test_a_child_names_its_parent_and_its_root(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(tree, 1, 1)
    workflows.run_until_idle()
    [middle] = run.children.all()
    [last] = middle.children.all()
    page = read(admin_client, run_url(last))
    assert f"Root {tree.name} {run.pk}" in page
    assert f"Parent {branch.name} {middle.pk}" in page
    page = read(admin_client, run_url(middle))
    assert f"Parent {tree.name} {run.pk}" in page
    assert "Root" not in page


def test_a_run_without_relatives_has_no_such_panel(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(again, 0)
    workflows.advance("2h")
    assert "Related runs" not in read(admin_client, run_url(run))


def test_a_chain_leads_to_its_next_and_to_its_last_run(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(again, 2)
    workflows.advance("5h")
    first, second, third = Run.objects.order_by("pk")
    assert first == run
    page = read(admin_client, run_url(first))
    assert f"Goes on as {again.name} {second.pk}" in page
    assert f"Last of the chain {again.name} {third.pk} completed" in page
    page = read(admin_client, run_url(second))
    assert f"Continues {again.name} {first.pk}" in page
    assert f"Goes on as {again.name} {third.pk}" in page
    assert "Last of the chain" not in page


def test_copies_name_their_original(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(again, 0)
    workflows.run_until_idle()
    assert f"Replay of {run.pk}" in read(admin_client, run_url(run.replay()))
    assert f"Fork of {run.pk}" in read(admin_client, run_url(run.fork(2)))


def test_the_list_shows_the_children_of_a_run(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    run = start(tree, 1, 2)
    workflows.run_until_idle()
    [middle] = run.children.all()
    runs = reverse("admin:django_workflows_run_changelist")
    link = f"{runs}?parent={middle.pk}"
    assert link in admin_client.get(run_url(middle)).content.decode()
    listed = read(admin_client, link)
    assert all(child.pk in listed for child in middle.children.all())
    assert run.pk not in listed


def _with_children(number: int, workflows: WorkflowTester) -> Run:
    """A run with very many children, all but the first of which are copies of it."""
    run = start(branch, 1)
    workflows.run_until_idle()
    [child] = run.children.all()
    copies = []
    for place in range(1, number):
        copy = get_run(child.pk)
        copy.pk = f"{child.pk[:-4]}{place:04}"
        copies.append(copy)
    Run.objects.bulk_create(copies)
    return run


def test_thousands_of_children_cost_no_more_queries(
    admin_client: Client, workflows: WorkflowTester
) -> None:
    few, many = _with_children(3, workflows), _with_children(1500, workflows)
    assert queries_of(admin_client, run_url(few)) == queries_of(
        admin_client, run_url(many)
    )
    assert len(tree_of(many)) == MOST
    counts = count(many)
    assert sum(number for *_status, number in counts.by_status) == COUNTED
    assert counts.is_cut
    page = read(admin_client, run_url(many))
    assert f"{COUNTED} running and more" in page
    assert "These are the first ones." in page
