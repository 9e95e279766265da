"""Verbs (lemmas) by what a clause built on them asserts."""

from __future__ import annotations

from rlaifv.adapters.grammar.lexicon import words

SHOWING = words("""
    show depict feature display capture portray present include contain have see reveal illustrate showcase comprise
    consist exhibit represent hold
""")
"""With the picture as subject: the object exists."""

SEEING = words("see notice observe spot find view make identify have detect recognize count look")
"""With the viewer as subject, or passive ("can be seen"): the object exists."""

PLACING = words("""
    locate place position situate see show depict visible find feature display capture picture set put present
    arrange include portray spot observe exist appear
""")
"""Passives that say no more than where something is."""

SEEMING = words("appear seem look suggest indicate imply believe think guess assume suppose hint likely")
"""Verbs by which the answer takes distance from what it says."""

ALWAYS_OPINION = words("""
    add create lend evoke convey enhance contribute emphasize complement exude radiate symbolize embody accentuate
    enrich elevate ensure enable encourage inspire signify emanate soften enliven exemplify demonstrate demand
    deserve enjoy love want need hope wish prefer know feel remind mean matter await fascinate captivate intend plan
    celebrate appreciate relax unwind embrace underscore infuse foster promote suit allow invite attract express
    experience engage like underline heighten immerse transport boast welcome thank
""")
"""Effect on the beholder or intention of the pictured: not to be seen."""

SOMETIMES_OPINION = words("""
    give provide make bring offer highlight capture reflect complete help draw set focus balance brighten tell
    showcase blend break
""")
"""Facts with a living subject and a thing as object ("is making a sandwich"), opinions otherwise."""

STATIVE = words("""
    have contain include hold-up cover surround belong consist resemble match border overlook extend lead connect
    support separate divide own span comprise stretch fit feature display show face frame line fill adorn flank
    decorate say read bear occupy
""")
"""Kept in the simple present: "The plate contains rice."."""

PLACED_OBJECT = words("""
    hold carry wear put place have set hang throw pull push drop lift rest keep tie attach stick get use lay pour
    spread wrap press raise
""")
"""The place named after their object is where the object is, not the subject."""

WRITING = words("say read display state show spell bear")
"""Verbs whose quoted object is visible writing."""

ATTEMPTS = words("pretend try attempt prepare get wait begin start continue reach")
"""Take an infinitive that can be seen going on."""

POSTURES = words("sit stand lie rest lay sprawl appear exist occupy remain stay")
"""Of a thing, they only say where it is."""

SHOWN_AS_STANDS = words("""
    leans rests hangs skates floats perches drifts glides hovers dangles looms peeks peers soars towers lies sits
    waits rides walks runs jumps swims flies crosses watches
""")
"""Third persons that look like plural nouns: before a preposition they are verbs."""

NEED_AN_OBJECT = words(
    "show display wear hold carry have contain make put take give bring get use feature include provide"
)
"""Say nothing by themselves."""
