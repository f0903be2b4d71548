"""A thousand ways to change the trail as a superuser with all triggers off: each one is found."""

from __future__ import annotations

import random

from tests.audit.conftest import triggers_off
from tests.audit.mutations import MUTATIONS


def test_an_untouched_chain_is_intact(chain):
    made = chain(100)
    with made.database.admin() as database:
        result = made.verify(database)
    assert result.wrong == [] and result.notes == []
    assert (result.entries, result.signed, result.checkpoints, result.copied) == (100, 100, 5, 6)


def test_a_thousand_mutations_are_found(chain):
    made, rng = chain(100), random.Random(20261123)
    missed, count = [], 0
    with made.database.admin() as database, triggers_off(database):
        for mutate, times in MUTATIONS.items():
            for _ in range(times):
                with database.transaction(force_rollback=True):
                    what = mutate(rng, database)
                    count += 1
                    if not made.verify(database).wrong:
                        missed.append(what)
        assert made.verify(database).wrong == []
    assert (missed, count) == ([], 1000)
