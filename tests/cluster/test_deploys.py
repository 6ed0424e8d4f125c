"""Clusters of different code beside each other, as in the middle of a deploy."""

from __future__ import annotations

import pytest

from django_workflows import definitions
from django_workflows.models import Step
from tests.cluster.conftest import StartCluster
from tests.cluster.harness import until
from tests.definitions.registered import registered_for_a_while

pytestmark = pytest.mark.slow


def test_an_action_is_left_to_the_cluster_that_has_it(
    start_cluster: StartCluster,
) -> None:
    older = start_cluster()
    older.ready()
    with registered_for_a_while():
        from tests.cluster.newer import workflows

        definitions.action("place_anew")(workflows.place_anew)
        steps = [
            {"id": "place", "action": "placeAnew"},
            {"id": "meet", "action": "noop", "dependsOn": ["place"]},
        ]
        definitions.register({"id": "deploy", "steps": steps})
    runs = [definitions.start("deploy") for _ in range(20)]
    on_offer = Step.objects.filter(status="pending", attempt=0)
    until(lambda: on_offer.count() == len(runs), "all steps on offer")
    before = set(Step.objects.values_list("id", "name"))
    newer = start_cluster(
        *("workflows", "--settings=tests.cluster.newer.settings"),
        *("worker", "--processes", "1"),
    )
    for run in runs:
        assert run.result(timeout=90)["place"] in newer.session()
    assert 1 <= older.log().count("no action 'place_anew'") <= 2  # workers
    assert before <= set(Step.objects.values_list("id", "name"))
    assert not Step.objects.exclude(status="completed").exists()
    assert set(Step.objects.values_list("errors", "crashes")) == {(0, 0)}
