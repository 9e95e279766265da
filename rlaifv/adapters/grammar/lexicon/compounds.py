"""Things named by several words, so that no part of the name is taken for a property or another thing."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


COMPOUNDS = _names("""
    alarm clock; apple juice; apple pie; apple tree; arm chair; back pack; back yard; baking sheet; baseball cap;
    baseball field; baseball game; baseball glove; baseball player; basketball court; bathing suit; bathroom sink;
    beach chair; beach umbrella; bed room; bed side table; beer bottle; bell peppers; bicycle helmet; bike lane;
    bike rack; bird bath; bird cage; bird feeder; bird house; book case; book shelf; bow tie; boxing glove;
    boxing gloves; bus driver; bus station; business suit; cat tree; ceiling fan; ceiling light; cell phone;
    cheese pizza; chef hat; chocolate chip; chocolate chips; christmas tree; clock tower; coffee cup;
    coffee machine; coffee mug; coffee table; computer keyboard; computer monitor; computer mouse; computer screen;
    cookie sheet; cowboy hat; credit card; crescent moon; crop top; cross walk; cuckoo clock; cutting board;
    delivery truck; desk lamp; desktop computer; dining area; dining chair; dining room; dining table; dirt bike;
    diving board; dog bed; dog collar; dog house; double decker bus; dress shirt; dump truck; electric guitar;
    end table; ferris wheel; filing cabinet; fire escape; fire extinguisher; fire hydrant; fire truck;
    flat screen tv; floor lamp; flower bed; flower shop; folding chair; food truck; football field; football player;
    french fries; french fry; front yard; fruit bowl; fruit salad; fruit stand; frying pan; full moon;
    game controller; garbage truck; garden hose; gold fish; golf ball; golf club; golf course; grand piano;
    green bean; grizzly bear; guinea pig; hair drier; hair dryer; hand bag; hard hat; high chair; high heel;
    hiking boots; hiking trail; hockey stick; horse carriage; hot air balloon; hot dog; hot tub; house plant;
    ice cream; ice cream cone; ice cube; jelly fish; kitchen cabinet; kitchen counter; kitchen sink; lady bug;
    lamp post; landing gear; laptop computer; lawn chair; lawn mower; lemon slice; license plate; life guard;
    life jacket; life vest; light bulb; light fixture; light switch; living room; magnifying glass; mail box;
    measuring cup; microwave oven; mixing bowl; motor cycle; mountain bike; mouse pad; music stand; neck tie;
    news paper; night stand; oil painting; orange juice; orange peel; orange slice; orange slices; orange tree;
    palm tree; paper bag; paper towel; parking garage; parking lot; parking meter; party hat; peanut butter;
    pepper shaker; pepperoni pizza; phone booth; photo frame; pickup truck; picnic basket; picnic table;
    picture frame; picture frames; piggy bank; pine tree; pizza box; pizza cutter; playing card; playing cards;
    playing field; pocket watch; polar bear; police car; police officer; polo shirt; post office; potted plant;
    power line; power lines; race car; racing car; railroad tracks; railway track; railway tracks; rain boot;
    rain boots; rain coat; rice cooker; rocking chair; rocking horse; roller coaster; rolling pin; rose bush;
    rubber duck; safety vest; salad bowl; salt shaker; sand castle; school bus; sea gull; sea lion; sea shell;
    semi truck; serving dish; sewing machine; shooting star; shopping bag; shopping bags; shopping cart;
    shower curtain; shower head; side table; side walk; skate board; skate park; ski lift; ski pole; sleeping bag;
    smart phone; snow board; snow man; snow suit; soap dispenser; soccer ball; soccer player; soda can; soft drink;
    solar panel; solar panels; soup bowl; sour cream; space ship; sports car; spray bottle; stainless steel;
    star fish; steam engine; steam train; steering wheel; straw hat; street lamp; street light; street sign;
    stuffed animal; stuffed bear; stuffed toy; sun hat; surf board; sweet potato; swim suit; swimming pool;
    swimming trunks; t shirt; table cloth; tank top; tea cup; tea kettle; tea pot; teddy bear; telephone pole;
    tennis ball; tennis court; tennis racket; tennis shoes; tissue box; toaster oven; toilet paper; toilet seat;
    tooth brush; tote bag; tow truck; toy car; toy truck; traffic cone; traffic light; traffic sign; train station;
    train tracks; trash bin; trash can; tree branch; tree trunk; utility pole; vending machine;
    video game controller; waiting room; wake board; wall clock; washing machine; water bottle; wedding cake;
    wedding dress; wet suit; wheel barrow; wheel chair; whipped cream; wind turbine; window blinds; window pane;
    window sill; wine bottle; wine glass; wine rack
""")
"""Lower case; the last word takes the plural."""
