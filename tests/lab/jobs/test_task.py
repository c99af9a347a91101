import re
import subprocess
import sys

import pytest

from sharpkit.lab.jobs.task import Task, with_needs

CONFIG = {"b": [1, 2.5], "a": {"x": None}}


def test_the_key_is_that_of_all_it_depends_on():
    task = Task("train", CONFIG, 3)
    assert re.fullmatch("[0-9a-f]{64}", task.key)
    same = Task("train", {"a": {"x": None}, "b": [1, 2.5]}, 3, cost=9)
    assert task.key == same.key
    others = [
        Task("path", CONFIG, 3),
        Task("train", CONFIG | {"b": [1, 2]}, 3),
        Task("train", CONFIG, 4),
        Task("train", CONFIG, 3, (Task("train", {}, 0),)),
        Task("train", CONFIG, 3, (Task("train", {}, 1),)),
    ]
    assert len({task.key, *(each.key for each in others)}) == 6


@pytest.mark.process
def test_another_process_finds_the_same_key():
    code = "from sharpkit.lab.jobs.task import Task\n"
    code += f"print(Task('train', {CONFIG!r}, 3).key)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == Task("train", CONFIG, 3).key


def test_needs_come_first_and_once():
    first = Task("train", {"n": 1}, 0)
    second = Task("train", {"n": 2}, 0, (first,))
    again = Task("train", {"n": 1}, 0)
    third = Task("path", {}, 0, (again, second))
    found = with_needs([third, second])
    assert [task.key for task in found] == [first.key, second.key, third.key]


def test_its_text_tells_it_from_others():
    task = Task("train", CONFIG, 3)
    assert repr(task) == f"<Task train {task.key[:8]}, seed 3>"
