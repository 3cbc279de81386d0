"""What a still scene sends again and again: hard samples that need not rise, for the answer is known or on its way."""

from services.edge.repeats.known_answers import KnownAnswer, KnownAnswers
from services.edge.repeats.repeats import Repeats
from services.edge.repeats.rule import RepeatRule, repeat_rule

__all__ = ["KnownAnswer", "KnownAnswers", "RepeatRule", "Repeats", "repeat_rule"]
