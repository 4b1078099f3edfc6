"""When a restart would help the daemon."""

from virtmuxd.core.health import PATIENCE, Health


def test_it_is_well_while_every_hypervisor_has_a_thread() -> None:
    health = Health()
    assert all(health.is_well([], now) for now in (0.0, PATIENCE, 10 * PATIENCE))


def test_threads_that_stay_used_up_want_a_restart_but_not_at_once() -> None:
    health = Health()
    assert health.is_well(["a"], 100.0)
    assert health.is_well(["a"], 99.0 + PATIENCE)
    assert not health.is_well(["a"], 100.0 + PATIENCE)


def test_a_thread_that_came_back_begins_the_time_anew() -> None:
    health = Health()
    health.is_well(["a"], 0.0)
    health.is_well([], 10.0)
    health.is_well(["a"], 20.0)
    assert health.is_well(["a"], PATIENCE)
    assert not health.is_well(["a"], 20.0 + PATIENCE)


def test_the_threads_of_each_hypervisor_count_by_themselves() -> None:
    health = Health()
    health.is_well(["a"], 0.0)
    assert health.is_well(["b"], PATIENCE)
    assert health.is_well(["a", "b"], 2 * PATIENCE - 1)
    assert not health.is_well(["a", "b"], 2 * PATIENCE)
