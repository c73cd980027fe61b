import threading

import pytest

from serving.standin.engine.fair_semaphore import FairSemaphore
from tests.serving.servers import PATIENCE_S, wait_until


def test_those_who_wait_are_served_in_the_order_they_came() -> None:
    semaphore, served = FairSemaphore(1), []
    threads = []

    def work(name: int) -> None:
        with semaphore:
            served.append(name)

    with semaphore:
        for name in range(5):
            threads.append(threading.Thread(target=work, args=(name,)))
            threads[-1].start()
            wait_until(lambda: semaphore.waiting == len(threads))
    for thread in threads:
        thread.join(PATIENCE_S)
    assert served == [0, 1, 2, 3, 4]


def test_never_more_than_allowed_are_inside() -> None:
    semaphore, inside, most = FairSemaphore(2), [], []

    def work() -> None:
        for _ in range(200):
            with semaphore:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(most) == 6 * 200
    assert max(most) <= 2


def test_a_failure_inside_gives_the_turn_on() -> None:
    semaphore = FairSemaphore(1)
    with pytest.raises(ValueError, match="inside"), semaphore:
        raise ValueError("inside")
    with semaphore:
        assert semaphore.waiting == 0
