"""The thread that owns a device: batches of what waits, and everyone's own exception."""

import threading

import pytest

from indexer.asking import IndexUnavailableError
from indexer.owner import Owner


def waiting_together(owner, gate, questions):
    """Have all `questions` wait while the first, which is let through by `gate`, is being answered."""
    outcomes = {}

    def ask(question):
        try:
            outcomes[question] = owner.ask(question)
        except (ValueError, IndexUnavailableError) as error:
            outcomes[question] = error

    threads = [threading.Thread(target=ask, args=(question,)) for question in questions]
    threads[0].start()
    assert gate.begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    while owner._waiting.qsize() < len(questions) - 1:
        pass
    gate.set()
    for thread in threads:
        thread.join(5)
    return outcomes


class Gate(threading.Event):
    def __init__(self):
        super().__init__()
        self.begun = threading.Event()
        self.batches = []

    def answer(self, questions):
        self.begun.set()
        self.wait(5)
        self.batches.append(list(questions))
        if "bad" in questions:
            raise ValueError("bad is no question")
        return [question.upper() for question in questions]


@pytest.fixture
def gate():
    return Gate()


def test_what_waits_is_answered_together_up_to_a_number(gate):
    owner = Owner(gate.answer, 3, "test")
    outcomes = waiting_together(owner, gate, ["a", "b", "c", "d", "e"])
    assert outcomes == {letter: letter.upper() for letter in "abcde"}
    assert [len(batch) for batch in gate.batches] == [1, 3, 1]


def test_one_that_cannot_be_answered_takes_no_other_with_it(gate):
    owner = Owner(gate.answer, 10, "test")
    outcomes = waiting_together(owner, gate, ["a", "bad", "c"])
    assert str(outcomes.pop("bad")) == "bad is no question"
    assert outcomes == {"a": "A", "c": "C"}
    assert owner.ask("later") == "LATER"


def test_what_waits_when_it_is_closed_is_answered(gate):
    owner = Owner(gate.answer, 1, "test")
    closing = threading.Thread(target=lambda: (gate.begun.wait(5), owner.close()))
    closing.start()
    gate.set()
    assert owner.ask("a") == "A"
    closing.join(5)
    assert not owner._thread.is_alive()
    with pytest.raises(IndexUnavailableError, match="the index is closed"):
        owner.ask("b")
    owner.close()
