"""What the engine refuses, each as a sentence that can be shown to a person."""

from __future__ import annotations


class BadRequest(ValueError):
    """The request asks for something that the scenario does not offer."""


class OutOfRange(ArithmeticError):
    """A step would leave the range of the integers; it was undone, nothing overflowed."""


class CheckpointDamaged(ValueError):
    """The bytes are no checkpoint of this engine, or not all of them are as they were written."""


class ArchiveDamaged(ValueError):
    """An archive breaks at a snapshot, which the sentence names."""


class NoAnswer(RuntimeError):
    """Processes of a distributed run do not answer; the state stands at its last committed step."""

    def __init__(self, sentence: str, ranks: tuple[int, ...] = ()) -> None:
        """Take the sentence for a person, and the ranks that are silent."""
        super().__init__(sentence)
        self.ranks = ranks
