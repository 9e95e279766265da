"""Adjectives, adverbs, determiners and numerals by how they may be used in a claim."""

from __future__ import annotations

from rlaifv.adapters.grammar.lexicon import words

COLOURS = words("""
    red orange yellow green blue purple pink brown white gray grey black violet turquoise teal cyan magenta beige
    tan maroon navy gold golden silver crimson scarlet lavender cream ivory indigo olive khaki bronze lime burgundy
    peach aqua charcoal mauve amber copper rust salmon coral fuchsia lilac mustard blonde blond
""")
PLAIN_COLOURS = words(
    "red orange yellow green blue purple pink brown white gray grey black violet turquoise teal beige maroon"
)
"""Colour words that are hardly ever a thing: safe to read as an adjective before any word."""

SHADES = words("light dark bright pale deep vivid pastel neon navy royal sky hot lime forest olive dull")
"""Words that join a following colour into one property: "dark blue"."""

OPINIONS = words("""
    adorable aesthetic alluring amazing amusing appealing appetizing astonishing attractive awesome awful awkward
    bad beautiful beloved best better boring breathtaking brilliant calm calming captivating carefree casual
    charming cheerful cheery chic classy clean comfortable comfy comforting confident confused content cool cozy
    cosy creative cute curious dazzling delicious delightful delighted dramatic dreamy dynamic eager elegant
    enchanting energetic engaging enjoyable enticing excellent excited exciting exotic exquisite extraordinary
    eye-catching fabulous familiar famous fancy fantastic fascinating fashionable fearsome festive fine fresh
    friendly fun funny generous gentle glamorous good gorgeous graceful grand great happy handsome harmonious
    healthy heartwarming heavenly holy homely hopeful horrible iconic idyllic immaculate important impressive
    incredible inspiring interesting intense intimate intricate intriguing inviting joyful joyous jolly lavish
    laid-back lazy lively lonely lovely loving lush luxurious magical magnificent majestic marvelous meaningful
    mesmerizing mischievous modern modest moody mysterious mystical neat nice nostalgic odd opulent ordinary
    outstanding peaceful perfect picturesque playful pleasant pleasing polished popular posh powerful precious
    pretty pristine professional proud quaint quiet quirky radiant rare refreshing refined relaxed relaxing
    remarkable rich romantic rugged sad scenic scrumptious serene serious sleek sober soothing sophisticated
    spectacular special splendid strange striking stunning stylish sublime successful superb surreal suspicious
    sweet tasteful tasty tender terrible thoughtful thrilling tidy timeless tranquil typical ugly unforgettable
    unique unusual upscale vibrant warm weird welcoming well-kept well-maintained whimsical wise wonderful worst
    yummy bored sleepy mouthwatering minimalist lifelike evocative prominent noteworthy notable conspicuous apparent
    evident obvious visible
""")
"""Judgements of the speaker; never an attribute claim."""

UNCHECKABLE = words("""
    about ready able additional adjacent aforementioned again alike alone already another available aware certain
    common complete corresponding current different distinct due early entire equal especial even every exact extra
    few first last former full-of further general given hidden identical individual initial known latter likely main
    major many more most much multiple near nearby neighboring next numerous only opposite other others overall own
    particular possible present present-day previous primary probable real related respective same second secondary
    separate several similar single solitary some specific standard such sure third total true unable usual various
    very visible whole willing worth old-fashioned unknown unclear uncertain perceptible subtle distant surrounding
    background foreground closest nearest farthest left right top bottom upper lower central middle leftmost
    rightmost rear front accompanying positioned located situated placed seen shown depicted pictured displayed
    captured featured called named used involved engaged busy remaining accurate correct incorrect wrong key simple
    basic assorted diverse favorite traditional regular natural local daily everyday popular personal public private
    casual
""")
"""True of nearly anything, about the text rather than the picture, or only relative to another claim."""

NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100, "dozen": 12,
}  # fmt: skip

VAGUE_NUMBERS = words("several many multiple numerous dozens hundreds thousands")
"""Quantities a labeler can still judge."""

SINGULAR_DETERMINERS = words("a an one this that each every another either single")
PLURAL_DETERMINERS = words("these those several many multiple numerous few both various all two three")
DEFINITE = words("the this that these those")

HEDGES = words("""
    perhaps maybe probably possibly presumably seemingly apparently likely supposedly potentially conceivably
    arguably unclear uncertain perchance
""")
MODALS = words("might may could would should must can will shall 'd 'll ca wo")

NEGATIONS = words("no not n't never neither nor without none nobody nothing cannot")

SMALL_NOUNS_LIKE_ADJECTIVES = words("light dark orange gold silver")

ADJECTIVES = words("vintage floral camouflage")
"""Properties that dictionaries have as nouns only."""
