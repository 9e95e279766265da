"""Things named by several words, so that no part of the name is taken for a property or another thing."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


COMPOUNDS = _names("""
    \n acoustic guitar; \n baseball bat; \n bath room; \n bell pepper; \n birthday cake; \n bus stop;
    \n chocolate cake; \n coffee maker; \n control tower; \n cup cake; \n dining set; \n double-decker bus;
    \n fire engine; \n flower pot; \n front door; \n garbage can; \n green beans; \n high heels; \n hotel room;
    \n kitchen island; \n leather jacket; \n light pole; \n mobile phone; \n office chair; \n panda bear;
    \n pencil case; \n picnic blanket; \n plastic bag; \n police officers; \n railroad track; \n remote control;
    \n running shoes; \n sea turtle; \n shopping mall; \n ski slope; \n soccer field; \n space shuttle;
    \n stop sign; \n sun glasses; \n table lamp; \n tennis player; \n top hat; \n train track; \n video game;
    \n watering can; \n wind turbines; alarm clock; apple juice; apple pie; apple tree; arm chair; back pack;
    back yard; baking sheet; baseball cap; baseball field; baseball game; baseball glove; baseball player;
    basketball court; bathing suit; bathroom sink; beach chair; beach umbrella; bed room; bed side table;
    beer bottle; bell peppers; bicycle helmet; bike lane; bike rack; bird bath; bird cage; bird feeder; bird house;
    book case; book shelf; bow tie; boxing glove; boxing gloves; bus driver; bus station; business suit; cat tree;
    ceiling fan; ceiling light; cell phone; cheese pizza; chef hat; chocolate chip; chocolate chips; christmas tree;
    clock tower; coffee cup; coffee machine; coffee mug; coffee table; computer keyboard; computer monitor;
    computer mouse; computer screen; cookie sheet; cowboy boots; cowboy hat; cream cheese; credit card;
    crescent moon; crop top; cross walk; cuckoo clock; cutting board; delivery truck; desk lamp; desktop computer;
    dining area; dining chair; dining room; dining table; dirt bike; diving board; dog bed; dog collar; dog house;
    double decker bus; dress shirt; dump truck; electric guitar; end table; ferris wheel; filing cabinet;
    fire escape; fire extinguisher; fire hydrant; fire place; fire truck; flat screen tv; floor lamp; flower bed;
    flower shop; folding chair; food truck; football field; football player; french fries; french fry; front yard;
    fruit bowl; fruit salad; fruit stand; frying pan; full moon; game controller; garbage truck; garden hose;
    gold fish; golf ball; golf club; golf course; grand piano; green bean; grizzly bear; guinea pig; hair drier;
    hair dryer; hand bag; hard hat; high chair; high heel; hiking boots; hiking trail; hockey stick; horse carriage;
    hot air balloon; hot dog; hot tub; house plant; ice cream; ice cream cone; ice cube; jelly fish;
    kitchen cabinet; kitchen counter; kitchen sink; lady bug; lamp post; landing gear; laptop computer; lawn chair;
    lawn mower; lemon slice; license plate; life guard; life jacket; life vest; light bulb; light fixture;
    light switch; lime juice; living room; magnifying glass; mail box; measuring cup; microwave oven; mixing bowl;
    motor cycle; mountain bike; mouse pad; music stand; neck tie; news paper; night stand; oil painting; olive oil;
    olive tree; orange juice; orange peel; orange slice; orange slices; orange tree; palm tree; paper bag;
    paper towel; parking garage; parking lot; parking meter; party hat; peanut butter; pepper shaker;
    pepperoni pizza; phone booth; photo frame; pickup truck; picnic basket; picnic table; picture frame;
    picture frames; piggy bank; pine tree; pirate ship; pizza box; pizza cutter; playing card; playing cards;
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
    tomato sauce; tooth brush; tote bag; tow truck; toy car; toy truck; traffic cone; traffic light; traffic sign;
    train station; train tracks; trash bin; trash can; tree branch; tree trunk; utility pole; vending machine;
    video game controller; waiting room; wake board; wall clock; washing machine; water bottle; wedding cake;
    wedding dress; wet suit; wheel barrow; wheel chair; whipped cream; wind mill; wind turbine; window blinds;
    window pane; window sill; wine bottle; wine glass; wine rack; wrist watch\n
""")
"""Lower case; the last word takes the plural."""
