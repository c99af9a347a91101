"""Tasks carried out in this process."""

from sharpkit.lab.jobs import pool
from sharpkit.lab.store import Store


def work(task, folder):
    """Carry out one task whose needs are in a store, and store its result there."""
    with Store(folder) as store:
        if task.key not in store:
            store.put(*pool.work(task, pool.needed(store, task)))
