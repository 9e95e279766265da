"""Nouns by how they may be used in a claim."""

from __future__ import annotations

from rlaifv.adapters.grammar.lexicon import words

PICTURE = words("""
    image picture photo photograph scene frame view shot snapshot illustration drawing screenshot photography
    depiction composition footage img pic images pictures photos photographs scenes
""")
"""What the answer talks about rather than what is in it; never a claim."""

VIEWER = words("i we you one viewer viewers observer me us they")
"""Who looks at the picture in "I can see ...", "you can see ..."."""

ABSTRACT = words("""
    ability speech movement excitement enjoyment engagement achievement arrangement amusement commitment contentment
    development employment entertainment environment involvement refinement sentiment statement treatment agreement
    trick tricks stunt stunts nap conversation conversations performance selfie selfies absence accent action
    activity addition affection air ambiance ambience amount angle appeal appearance aspect atmosphere attention
    attire attribute backdrop balance beauty bit blend bond brand break calm calmness care case cause celebration
    centerpiece challenge chance change character charm choice clarity closeness coexistence color colors colour
    colours combination comfort companionship comparison complexity concentration concept condition conditions
    connection content context contrast coziness cuteness day daytime daylight degree delight depth description
    design detail details dimension direction discussion display distance diversity dynamic ease effect element
    elements elegance emotion emphasis end energy ensemble era essence evening event evidence example existence
    experience expression extent eye-level face-off fact feel feeling feelings focus foreground background form
    formation freedom friendship front fun function game glance gathering grandeur harmony haven height hint history
    hour idea impression indication information instance interaction interest intimacy item items job journey joy
    kind layout leisure length level life lifestyle liveliness living location look lot love majority manner match
    means memory message middle minute moment mood morning motion mystery nature need night nighttime noon nostalgia
    number object objects occasion opportunity option order orientation overview pace part parts passion past
    pattern peace peacefulness perspective place placement play pleasure point portion pose position possibility
    posture presence present process professionalism proximity purpose quality question range reason relationship
    relaxation representation respect rest result role routine scale season sense series serenity setting setup
    shade shape share show side sides sight silence simplicity situation size skill solitude something anything
    nothing everything someone anyone everyone everybody nobody thing things sort spectacle speed spirit spot stage
    state status story style subject subjects summer support surroundings surrounding symbol symmetry taste tension
    texture theme time times togetherness tone top total touch tradition tranquility trip type types uniqueness use
    variety vibe vibrancy vicinity vitality warmth way ways weather weekend whole width will winter wonder work year
    years zone afternoon autumn spring today tonight left right bottom center centre corner edge corners edges
    conclusion summary answer response help assistance access language model request stillness rhythm perfection
    happiness sadness anger lack extra rush trend stuff matter tale future dream dreams hope thought thoughts others
    other another each both all none most more half one ones meaning backgrounds lower upper
""")
"""Nothing a labeler can point at; never the subject of an existence claim."""

MASS = words("""
    money frosting pepperoni icing stuffing soup asphalt bacon baggage beef beer bread broccoli butter cash cement
    chalk champagne cheese chocolate clothing coffee concrete corn cotton cream cutlery dirt dust equipment fabric
    flour foam fog foliage food frost fruit fur furniture garbage garlic ginger gold graffiti grass gravel greenery
    ham hair hay honey ice jam jelly jewelry juice ketchup laundry leather lettuce lighting linen lipstick litter
    luggage machinery makeup mayonnaise meat merchandise metal milk mist moss mud mustard oil paint paper parsley
    pasta pavement pepper plastic pollution popcorn pork pottery rain rice rubber rubbish rubble salt sand sauce
    scaffolding scenery seafood seaweed shrimp signage silver silverware smoke snow soap soda soil spaghetti spinach
    steam steel straw sugar sunlight sunshine sushi syrup tableware tape tea text timber toast traffic trash turf
    vegetation vinegar water wheat wine wood wool writing yogurt yoghurt celery salmon tuna tofu cabbage asparagus
    ivy marble denim lace gear headgear footwear lava bedding landscaping dough cereal hummus guacamole salsa
""")
"""Used without an article when the answer uses none."""

PLURAL_ONLY = words("""
    binoculars clothes glasses goggles headphones jeans leggings pajamas pants people police pliers scissors shorts
    sunglasses tights tongs trousers tweezers cattle earphones earbuds overalls surroundings stairs belongings
    groceries
""")
"""Plural in form and agreement even when one piece is meant."""

INVARIANT = words(
    "fish sheep deer moose bison salmon trout aircraft spacecraft hovercraft offspring series shrimp swine elk squid"
)
"""Same word for one and many: the determiner or the verb decides."""

IRREGULAR_PLURALS = words("""
    men women children people feet teeth geese mice oxen lice firemen policemen firefighters snowmen cacti fungi
    octopi dice gentlemen businessmen fishermen workmen leaves knives loaves wolves shelves scarves halves calves
    hooves wives thieves elves postmen businesswomen policewomen sportsmen cowboys
""")

SINGULAR_IN_S = words("""
    bus glass grass tennis dress cross lens cactus octopus hippopotamus rhinoceros walrus bass compass mattress
    canvas atlas gas class chess brass moss news virus circus campus walkabout platypus iris harness fortress
    waitress actress princess cypress hibiscus eucalyptus minibus bias chaos hummus citrus asparagus kiss mass pass
    boss press recess business christmas process tutu debris headdress trellis molass lotus crocus albatross
    mistress goddess hostess abyss watercress gymnastics stegosaurus dinosaurus fetus
""")

PERSON = words("""
    man woman boy girl person child kid baby toddler infant lady gentleman guy player skier snowboarder surfer
    skateboarder batter catcher pitcher umpire chef cook waiter waitress server bride groom officer policeman
    policewoman soldier cyclist biker rider worker student teacher doctor nurse farmer driver conductor firefighter
    fireman mother father mom dad brother sister son daughter grandmother grandfather adult teenager tourist vendor
    artist musician singer dancer guitarist businessman businesswoman athlete runner swimmer spectator customer
    shopper pedestrian jogger golfer goalkeeper fisherman couple gardener painter barber photographer clown king
    queen prince princess monk nun priest pilot sailor captain cowboy bartender barista cashier mechanic carpenter
""")
"""Takes he or she."""

FEMALE = words("""
    woman girl lady mother mom daughter sister bride grandmother waitress actress policewoman businesswoman queen
    princess nun
""")
MALE = words("""
    man boy gentleman guy father dad son brother groom grandfather policeman businessman fireman fisherman waiter
    king prince monk priest cowboy
""")

BODY_PARTS = words("""
    arm arms hand hands leg legs foot feet head face eye eyes ear ears nose mouth neck shoulder shoulders back chest
    finger fingers knee knees lap hip hips paw paws body waist elbow elbows thumb toe toes lip lips cheek cheeks
    forehead chin wrist wrists ankle ankles heel heels belly stomach torso trunk tail beak mane
""")
"""Presupposed by their owner: "in his hand" asserts no hand."""

CONTAINERS_OF = words("""
    group pair bunch slice piece cup glass bottle bowl plate basket bag box row line stack pile bouquet crowd flock
    herd pack set collection mug pot jar can loaf slab sheet stick scoop bucket tray carton tin crate vase cluster
    patch body field swarm school team family bundle handful chunk wedge bar cube mound load dish platter pitcher
    glassful spoonful couple tank fleet string strip ball roll portion serving statue picture painting photo drawing
    poster map model
""")
"""Head nouns whose "of" phrase names what they are made of or hold: "a slice of pizza"."""

GROUPS = words("group crowd pair couple team family flock herd bunch pack row line cluster")
"""Singular nouns that "they" may point back to."""

WRITABLE = words("text word words writing letter letters inscription caption label message phrase lettering title")
"""Nouns that introduce visible writing."""

POSITIONS = words("""
    left right top bottom middle center centre corner side front back background foreground distance edge end rear
    horizon sides corners edges midground
""")
"""Nouns that name a place in the picture rather than a thing."""

NOUNS_IN_ING = words("""
    building painting ceiling railing clothing king ring wing string spring thing lightning evening morning wedding
    crossing swing sling pudding icing stuffing topping lining awning earring bedding landing dressing sibling
    duckling gosling
""")

GERUND_MODIFIERS = words("""
    dining living washing parking swimming shopping cutting frying baking surfing sewing sleeping rocking skating
    playing fishing chewing wrapping running landing wedding building racing hiking boxing walking cooking serving
    mixing chopping traveling training riding ironing knitting measuring drinking sailing rowing watering reading
    waiting vending filing winding jogging changing bowling skiing lighting steering wading loading bathing writing
    drawing painting
""")
"""-ing words that make a compound with the next noun instead of saying what it does."""

ANIMAL = words("""
    dog cat bird horse cow sheep elephant bear zebra giraffe fish duck goose swan chicken hen rooster pig goat
    rabbit rat squirrel fox wolf lion tiger leopard cheetah monkey gorilla ape panda koala kangaroo camel llama
    alpaca donkey mule deer moose bull calf lamb puppy kitten pony seal dolphin whale shark turtle tortoise frog
    lizard snake crocodile alligator parrot pigeon seagull owl eagle hawk crow penguin flamingo peacock ostrich
    pelican heron butterfly bee spider ant crab lobster octopus hamster beaver otter raccoon hippo rhino
    hippopotamus rhinoceros buffalo bison animal creature foal cub duckling gosling chick insect dragonfly
""")
"""Acts of its own accord, so that "sits" and "stands" say what it does."""

DEEDS = words("""
    trick tricks game games match picture pictures photo photos stunt stunts jump flip turn nap walk break ride bite
    sip yoga tennis baseball soccer football basketball volleyball frisbee cards chess music race performance swing
    conversation meal selfie selfies pose shower bath
""")
"""Objects of doing, playing, taking: what is done, not a thing."""

SETTINGS = words("""
    chair armchair wheelchair bathtub bed tent pond airport alley arena auditorium backyard balcony bakery bar barn
    bathroom beach bedroom bridge bus cafe cafeteria camp church city classroom court courtyard crosswalk deck
    desert dock driveway factory farm field forest garage garden grass gym hall hallway harbor hill hotel house
    intersection island kitchen lake library lobby market meadow mountain museum ocean office park parking-lot
    pasture path patio pier plaza platform playground pool porch restaurant river road roof room sand school sea
    shop sidewalk slope snow square stable stadium stage station store stream street town track trail train tunnel
    village water woods yard zoo
""")
"""Where somebody is who does something there."""

GROUNDS = words("""
    couch sofa bench chair bed stool blanket lounger ladder carpet rug balcony beach bridge court deck dirt dock
    field grass gravel hill ice lawn mountain path patio pavement pier platform playground porch road roof sand
    sidewalk slope snow stage street track trail train bus boat
""")
"""The same for "on"."""

CLOTHING = words("""
    apron blazer blouse boot cap cardigan cloak clothes coat costume dress gear glove gown hat helmet hoodie jacket
    jean jeans jersey kimono outfit overalls pajamas pants pyjamas robe sari scarf shirt shoe shorts skirt suit
    sunglasses sweater sweatshirt swimsuit swimwear tie top trousers trunks tuxedo t-shirt tshirt uniform vest
    wetsuit bikini sandal sneaker sock leggings clothing attire
""")
"""A person "in" one is wearing it."""

CONCRETE = words("""
    cement equipment monument apartment instrument garment ornament pavement basement station ambulance fence
    entrance decoration appliance compartment parchment vegetation city utility intersection television plantation
    crossing lotion excavation ship hood spaceship refreshment condiment document audience convenience furnishing
    reflection installation concession mansion extension cushion
""")
"""Visible in spite of an abstract ending."""

_IRREGULAR = {
    "men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot", "teeth": "tooth",
    "geese": "goose", "mice": "mouse", "oxen": "ox", "firemen": "fireman", "policemen": "policeman", "calves": "calf",
    "wolves": "wolf", "knives": "knife", "leaves": "leaf", "loaves": "loaf", "shelves": "shelf", "scarves": "scarf",
    "cacti": "cactus", "gentlemen": "gentleman", "businessmen": "businessman", "fishermen": "fisherman",
}  # fmt: skip


def singular(noun: str) -> str:
    """The singular of a lower-case noun; a singular noun is returned as it is, more or less."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if (
        noun in SINGULAR_IN_S
        or noun in PLURAL_ONLY
        or noun in INVARIANT
        or not noun.endswith("s")
        or noun.endswith("ss")
    ):
        return noun
    if noun[:-2] in SINGULAR_IN_S:
        return noun[:-2]
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("ches", "shes", "xes", "sses", "zes")):
        return noun[:-2]
    return noun[:-1]
