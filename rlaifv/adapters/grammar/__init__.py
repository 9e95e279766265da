"""Dividing answers into claims by grammar: spaCy's parser, hand-written readers, no language model.

answer -> markup (passages) -> sentences -> language -> disguise -> parsing -> clauses, presentation, predicates,
phrases, places, writing (propositions) -> discourse (pronouns, known things) -> wording (claims and questions)

What the claims look like:

1. Every thing named exists: "There is a car." (object), with its name but without its properties. A group or container
   keeps its contents ("There is a slice of pizza."). Body parts of somebody named, settings of the mind, the picture and
   its viewer are no things.
2. One property, one claim: "The car is red."; colours of one thing stay together ("The cat is black and white.").
3. Numbers, "several", "many" and "a few" are counts; approximate numbers are not.
4. Places end in a known thing: "The cat is on the mat."; "of the image" is left out. "Has" and "with" become
   "The house has windows.", a person "in" clothes is wearing them, simple presents of things stay ("The bridge crosses a
   stream.").
5. Actions are in the present progressive with the object as it was introduced: "The man is riding a horse.", one claim per
   object. Passive states say where ("is parked on the street", relation) or of what ("is made of wood", attribute).
6. A denial is kept, and asked as "Is it true that there is no car?".
7. What the answer doubts, likes, guesses or asks gives no claim; nor does what cannot be pointed at.
"""

from rlaifv.adapters.grammar.decomposer import GrammarDecomposer
from rlaifv.core.decomposition import Decomposition, SkippedText, SkipReason

__all__ = ["Decomposition", "GrammarDecomposer", "SkipReason", "SkippedText"]
