"""A part at which workers die is given up, whoever of them begins it."""

from polyrec.cluster.deal import RETRIES, Bounded, Tally, answer
from polyrec.errors import NotReadyError


class Mortal:
    """A worker that dies at one part."""

    def __init__(self, deadly):
        self.deadly = deadly

    def __call__(self, told):
        if told["number"] == self.deadly:
            raise SystemExit
        return answer(told["number"], lambda: 10)


def test_a_part_whose_worker_dies_again_and_again_is_given_up_in_words():
    tally, deaths, answers = Tally(), 0, {}
    for number in range(3):
        while number not in answers:
            try:
                answers[number] = Bounded(Mortal, (1,), tally.begin)({"number": number})
            except SystemExit:  # Ray starts another one
                deaths += 1
    assert deaths == 1 + RETRIES
    assert [answers[number]["rows"] for number in range(3)] == [10, 0, 10]
    assert answers[1]["kind"] == NotReadyError.__name__
    assert "part 1: its worker died 4 times over, as it does without enough memory" in answers[1]["error"]
