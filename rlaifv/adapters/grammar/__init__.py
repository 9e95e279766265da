"""Dividing answers into claims by grammar: spaCy's parser, hand-written readers, no language model.

answer -> markup (passages) -> sentences -> language -> disguise -> parsing -> clauses, phrases, places, writing
(propositions) -> discourse (pronouns, known things) -> wording (claims and questions)
"""

from rlaifv.adapters.grammar.decomposer import GrammarDecomposer
from rlaifv.adapters.grammar.decomposition import Decomposition, SkippedSentence, SkipReason

__all__ = ["Decomposition", "GrammarDecomposer", "SkipReason", "SkippedSentence"]
