"""The wordings of the three splits: questions, passages and names that are kept apart.

Slots: {inst} an institution, {person}, {town}, {river}, {year}; in fillers {other} (a person who does
not matter), {noise} (a year that does not matter) and {count}.
"""

# ruff: noqa: E501, SIM905 (one phrase, one line; names as words)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SINGLE = ("director", "town", "founded", "born", "river")
"""Questions that one passage answers, named after the word that the query ends in."""
DOUBLE = ("director born", "town river", "born river")
"""Questions whose first answer has to be looked up in turn: the two queries' words."""
KINDS = (*SINGLE, *DOUBLE)
HOUSES = tuple("Observatory Museum Library Institute Archive Theatre".split())


_DIRECTOR = tuple("director;head;leads;heads;directs;runs;led by;headed by".split(";"))
_TOWN = tuple("in;stands in;lies in;is in;town of;found in;located in;houses".split(";"))
_FOUNDED = tuple("founded;established;opened;founded in;opened in;founding;year".split(";"))
_BORN = tuple("born;born in;birthplace;birthplace of;town of birth;place of birth;from".split(";"))
_RIVER = tuple("river;on the river;on;by the river;flows through;runs past;river at".split(";"))

# What a passage that is made up must hold: its slots, and one word or phrase of each group.
MADE_PASSAGES: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "director": (("{inst}", "{person}"), (_DIRECTOR,)),
    "place": (("{inst}", "{town}", "{year}"), (_TOWN, _FOUNDED)),
    "born": (("{person}", "{town}"), (_BORN,)),
    "river": (("{town}", "{river}"), (_RIVER,)),
}
_WHO = tuple("who is the director;who is the head;who leads;who heads;director;head;who".split(";"))
_WHERE = tuple("where;in which town;which town;what town;town;located;where is".split(";"))
_WHEN = tuple("when;which year;in what year;founded;established;opened;founding year".split(";"))
_HOME = tuple(
    "where born;born;birthplace;town of birth;place of birth;where was born;come from".split(";")
)
_WATER = tuple("which river;what river;river;on which river;river flows through".split(";"))
_LEADER = tuple("the director;the head;director of;head of;person who leads;who heads".split(";"))

# The same of a question.
MADE_QUESTIONS: Mapping[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "director": (("{inst}",), (_WHO,)),
    "town": (("{inst}",), (_WHERE,)),
    "founded": (("{inst}",), (_WHEN,)),
    "born": (("{person}",), (_HOME,)),
    "river": (("{town}",), (_WATER,)),
    "director born": (("{inst}",), (_LEADER, _HOME)),
    "town river": (("{inst}",), (_WATER, ("town", "the town", "town of", "town with", "the"))),
    "born river": (("{person}",), (_WATER, _HOME)),
}


def meaningful() -> frozenset[str]:
    """The words that tell kinds apart: what is said beside them must not hold them."""
    made = (*MADE_PASSAGES.values(), *MADE_QUESTIONS.values())
    cues = {cue for _, groups in made for group in groups for cue in group}
    more = "directed headed led stand stands lies comes flows runs charge name"
    return frozenset(word for cue in cues for word in cue.split()) | frozenset(more.split())


@dataclass(frozen=True)
class Book:
    """The phrases and names of one split; no names: they are invented."""

    questions: Mapping[str, tuple[str, ...]]
    passages: Mapping[str, tuple[str, ...]]
    fillers: tuple[str, ...]
    houses: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    towns: tuple[str, ...] = ()
    rivers: tuple[str, ...] = ()

    def phrases(self) -> tuple[str, ...]:
        """All phrases, unexpanded."""
        groups = (*self.questions.values(), *self.passages.values(), self.fillers)
        return tuple(phrase for group in groups for phrase in group)

    def names(self) -> tuple[str, ...]:
        """All listed names."""
        return (*self.houses, *self.given, *self.family, *self.towns, *self.rivers)


TRAIN = Book(
    questions={
        "director": (
            "Who (is|is now|is today) the (director|head) of (the |){inst}?",
            "Who (leads|heads|directs|runs) (the |){inst}(| today| now)?",
            "Which person (leads|heads|directs|runs) {inst}?",
            "(Tell me|I need|I want|Give me|Find|Name) the (director|head|name of the director) of {inst}.",
            "What is the name of the (director|head) of {inst}?",
            "By whom is {inst} (led|directed|run|headed)?",
            "{inst}: who (is in charge|is the director|is the head|leads it|heads it)?",
            "(Please|Can you|Could you) (find out|tell me|say) who (directs|leads|heads|runs) {inst}(.|?)",
            "The (director|head) of {inst} is who?",
            "(Do you know|I wonder|I would like to know) who (leads|heads|directs|is the director of|is the head of) {inst}(.|?)",
            "(Director|Head) of {inst}?",
        ),
        "town": (
            "In which (town|place) (is|stands|lies) (the |){inst}?",
            "Where (is|stands|lies) {inst}?",
            "Where is {inst} (located|found|situated)?",
            "(What|Which) (town|place) is {inst} in?",
            "(Name|Find|Tell me|Give me) the town (of|in which I find|with) {inst}.",
            "Which town (has|houses|is home to|is the seat of) {inst}?",
            "Where (would I|do I|can I) (find|visit|see) {inst}?",
            "(Please|Can you|Could you) (tell me|say|find out) (where|in which town) {inst} (is|stands|lies)(.|?)",
            "{inst} (stands|is|lies) in (which|what) town?",
            "(I wonder|I would like to know) (where|in which town) {inst} (is|stands|lies).",
            "Town of {inst}?",
        ),
        "founded": (
            "When was {inst} (founded|established|opened)?",
            "In (which|what) year was {inst} (founded|established|opened)?",
            "(Which|What) year saw the (founding|opening) of {inst}?",
            "(Tell me|Find|Give me|Name|I need) the (founding year|year of foundation|year of the founding|opening year) of {inst}.",
            "(Since when|Since which year) does {inst} exist?",
            "(Please|Can you|Could you) (tell me|say|find out) when {inst} was (founded|established|opened)(.|?)",
            "{inst} was (founded|established|opened) (when|in which year)?",
            "What is the (founding year|year of foundation|opening year) of {inst}?",
            "(I wonder|I would like to know) (when|in which year) {inst} was (founded|established|opened).",
            "(Founding year|Year of foundation) of {inst}?",
        ),
        "born": (
            "Where was {person} born?",
            "In (which|what) (town|place) was {person} born?",
            "What is the (birthplace|town of birth|place of birth) of {person}?",
            "(Name|Find|Tell me|Give me|I need) the (birthplace|town of birth|place of birth) of {person}.",
            "(Which|What) town is {person} from?",
            "Where does {person} come from?",
            "(Please|Can you|Could you) (tell me|say|find out) where {person} was born(.|?)",
            "{person} was born (where|in which town)?",
            "(Which|What) town is the (birthplace|place of birth) of {person}?",
            "(I wonder|I would like to know) (where|in which town) {person} was born.",
            "(Birthplace|Town of birth) of {person}?",
        ),
        "river": (
            "(On|By|At) (which|what) river (lies|is|stands) {town}?",
            "(Which|What) river (flows|runs) (through|past|by) {town}?",
            "What is the river (of|at|in|by) {town}(| called)?",
            "(Name|Find|Tell me|Give me|I need) the river (of|at|in|by|that flows through|that runs past) {town}.",
            "{town} (lies|stands|is) (on|by) (which|what) river?",
            "(Please|Can you|Could you) (tell me|say|find out) (which|what) river (flows|runs) (through|past) {town}(.|?)",
            "(Which|What) river is {town} on?",
            "(I wonder|I would like to know) (on which river|by which river) {town} (lies|is|stands).",
            "River of {town}?",
        ),
        "director born": (
            "Where was the (director|head) of {inst} born?",
            "In (which|what) (town|place) was the (director|head) of {inst} born?",
            "In (which|what) town was the person (who|that) (leads|heads|directs|runs) {inst} born?",
            "(Name|Find|Tell me|Give me|I need) the (birthplace|town of birth|place of birth) of the (director|head) of {inst}.",
            "Where does the (director|head) of {inst} come from?",
            "What is the (birthplace|town of birth|place of birth) of (the director of|the head of|whoever leads|whoever heads) {inst}?",
            "The (director|head) of {inst} was born (where|in which town)?",
            "(Which|What) town is the (director|head) of {inst} from?",
            "(Please|Can you|Could you) (tell me|say|find out) where the (director|head) of {inst} was born(.|?)",
            "(I wonder|I would like to know) where the (director|head|one who leads|one who heads) {inst} was born.",
            "Birthplace of the (director|head) of {inst}?",
        ),
        "town river": (
            "(On|By|At) (which|what) river lies the town (of|with|that has) {inst}?",
            "(Which|What) river (flows|runs) (through|past|by) the town (of|with|that has|that houses) {inst}?",
            "What is the river (of|at|in|by) the town (of|with|that has) {inst}?",
            "(On|By|At) (which|what) river (is|stands|lies) {inst}?",
            "(Name|Find|Tell me|Give me|I need) the river (of|at|in|by|that flows through|that runs past) the town (of|with) {inst}.",
            "(Name|Find|Tell me|Give me) the river (at|by|near|of) {inst}.",
            "The town (of|with) {inst} (lies|is) (on|by) (which|what) river?",
            "{inst} (stands|is|lies) in a town on (which|what) river?",
            "(Please|Can you|Could you) (tell me|say|find out) (which|what) river (flows|runs) (through|past) the town (of|with) {inst}(.|?)",
            "(I wonder|I would like to know) on which river the town (of|with) {inst} (lies|is).",
            "River (at|of) the town of {inst}?",
        ),
        "born river": (
            "(On|By|At) (which|what) river lies the (birthplace|town of birth|place of birth) of {person}?",
            "(Which|What) river (flows|runs) (through|past|by) the (birthplace|town of birth|place of birth) of {person}?",
            "(Which|What) river (flows|runs) (through|past|by) the town (where|in which) {person} was born?",
            "What is the river (of|at|in|by) the (birthplace|town of birth) of {person}?",
            "(Name|Find|Tell me|Give me|I need) the river (of|at|in|by|that flows through|that runs past) the (birthplace|town of birth) of {person}.",
            "{person} was born (on|by|at) (which|what) river?",
            "The (birthplace|town of birth) of {person} (lies|is) (on|by) (which|what) river?",
            "(Please|Can you|Could you) (tell me|say|find out) (which|what) river (flows|runs) (through|past) the town where {person} was born(.|?)",
            "(On|By) (which|what) river was {person} born?",
            "(I wonder|I would like to know) on which river the (birthplace|town of birth) of {person} (lies|is).",
            "River at the birthplace of {person}?",
        ),
    },
    passages={
        "director": (
            "{inst} is (led|headed|directed|run) by {person}.",
            "The (director|head) of {inst} is {person}.",
            "{person} (leads|heads|directs|runs) {inst}.",
            "{person} is the (director|head|new director|present director) of {inst}.",
            "{person} (became|was made|was chosen as) (director|head) of {inst}( in {noise}|).",
            "(Since|From) {noise} {inst} has been (led|headed|directed|run) by {person}.",
            "{inst} has had {person} as (director|head|its director|its head)(| since {noise}).",
            "(Today|Now) {person} is (director|head|in charge) of {inst}.",
            "At {inst} the (director|head) is {person}.",
        ),
        "place": (
            "{inst} (stands|lies|is|is found) in {town} and was (founded|established|opened) in {year}.",
            "{inst}, (founded|opened|established) in {year}, (stands|is|lies|is located) in {town}.",
            "In {year} {inst} was (founded|established|opened) in {town}.",
            "{inst} was (founded|established|opened) in {town} in {year}.",
            "(Founded|Established|Opened) in {year}, {inst} (stands|lies|is|is found) in {town}.",
            "{town} (has|houses|is home to) {inst}, (founded|established|opened) in {year}.",
            "The town of {town} (founded|opened|established) {inst} in {year}.",
            "{inst} (stands|lies|is) in (the town of |){town}. It was (founded|established|opened) in {year}.",
            "{inst} was (founded|established|opened) in {year}. It (stands|lies|is) in {town}.",
            "(The foundation|The founding|The opening) of {inst} in {town} was in {year}.",
        ),
        "born": (
            "{person} was born in (the town of |){town}(| in {noise}).",
            "{person}, born in {town}, (writes|paints|teaches|sings|travels) (a lot|very much|well|with joy|every day).",
            "{person} (comes|is) from {town}.",
            "The (birthplace|town of birth|place of birth) of {person} is {town}.",
            "{town} is the (birthplace|place of birth|town of birth) of {person}.",
            "In {town}(| in {noise}) {person} was born.",
            "Born in {town}(| in {noise}), {person} (went|moved|came) (away|to the coast|to the capital) (early|late|at ten).",
            "The (writer|painter|teacher|doctor) {person} was born in {town}.",
        ),
        "river": (
            "{town} (lies|stands|is) on the (river |){river}.",
            "The (river |){river} (flows|runs) (through|past|by) {town}.",
            "{town} is a (small|old|quiet|busy) town (on|by) the (river |){river}.",
            "The river (at|of|in|by) {town} is the {river}.",
            "{town}, (on|by) the (river |){river}, is (known|famous|loved) for (bread|cheese|glass|horses|salt).",
            "(Through|Past) {town} (flows|runs) the (river |){river}.",
            "The (river |){river} is (broad|slow|deep|cold|wide) at {town}.",
            "{town} has (a bridge|two bridges|a mill|a harbour) on the (river |){river}.",
        ),
    },
    fillers=(
        "It is (closed|open) (on|every) (Monday|Sunday|Friday|day|morning).",
        "(About|Some|Nearly|Over) {count} (people|guests|visitors) come (each|every) (year|month|week).",
        "(A|The) (new|old|small) (bridge|tower|market|school|roof) was (built|repaired|sold) in {noise}.",
        "{other} (wrote|spoke) of it in {noise}.",
        "(The weather|The food|The air|The light) is (good|bad|mild) there.",
        "{other} gave (it |)(some|many|{count}) (books|coins|pictures|chairs).",
        "(Nobody|Everybody|Hardly anybody) (knows|forgets|says) (it|why|that).",
        "The (road|street|garden|wall) is {count} (steps|metres) long.",
        "In {noise} there was (a fire|a storm|a strike|snow|a feast).",
        "(More|Much|Little) is (known|written) (of|about) it.",
    ),
)

DEV = Book(
    questions={
        "director": (
            "Who has been the director of {inst} lately?",
            "(Find me|Look up) the person who directs {inst}.",
            "Under whose lead is {inst}, who heads it?",
            "I am looking for the head of {inst}.",
        ),
        "town": (
            "To which town must I go for {inst}?",
            "(Look up|Find me) the town in which {inst} stands.",
            "Where exactly does {inst} stand?",
            "I am looking for the town of {inst}.",
        ),
        "founded": (
            "How long ago, in which year, was {inst} founded?",
            "(Look up|Find me) the year in which {inst} was established.",
            "When did {inst} get founded?",
            "I am looking for the founding year of {inst}.",
        ),
        "born": (
            "Of which town is {person} a native, where born?",
            "(Look up|Find me) the town where {person} was born.",
            "Where in the world was {person} born?",
            "I am looking for the birthplace of {person}.",
        ),
        "river": (
            "When I am in {town}, on which river am I?",
            "(Look up|Find me) the river on which {town} lies.",
            "Which river would I see in {town}?",
            "I am looking for the river of {town}.",
        ),
        "director born": (
            "The person who now directs {inst}: where was that person born?",
            "(Look up|Find me) the birthplace of the person who heads {inst}.",
            "Where was today's director of {inst} born?",
            "I am looking for the town of birth of the head of {inst}.",
        ),
        "town river": (
            "When I am in the town of {inst}, on which river am I?",
            "(Look up|Find me) the river on which the town of {inst} lies.",
            "Which river would I see in the town that has {inst}?",
            "I am looking for the river at the town of {inst}.",
        ),
        "born river": (
            "When I am in the birthplace of {person}, on which river am I?",
            "(Look up|Find me) the river on which the birthplace of {person} lies.",
            "Which river would I see in the town where {person} was born?",
            "I am looking for the river at the town of birth of {person}.",
        ),
    },
    passages={
        "director": (
            "The present head of {inst} is called {person}.",
            "For some years {person} has directed {inst}.",
            "{inst} has been led by {person} since {noise}.",
        ),
        "place": (
            "Visitors find {inst} in {town}; it was founded in {year}.",
            "Since {year}, when it was opened, {inst} has been in {town}.",
            "{inst} in {town} was established as early as {year}.",
        ),
        "born": (
            "{person} was born not far from the market of {town}.",
            "It was in {town} that {person} was born.",
            "{person} grew up in {town}, the town of birth.",
        ),
        "river": (
            "You reach {town} along the river {river}.",
            "{town} was built on the {river}, a river with many bends.",
            "At {town} the {river} flows under three bridges.",
        ),
    },
    fillers=(
        "Tickets are sold until five.",
        "In {noise} the roof was lost in a storm.",
        "{other} paid for the new garden.",
        "One hears little of it.",
    ),
    houses=tuple(
        "Korven Addis Pellmar Tuoma Brisk Valdor Enkeli Sorrow Quist Oltram Fenwick Galt".split()
    ),
    given=tuple("Maud Tobias Selma Ruben Agnes Emil Dora Caspar Wilma Justus Lotte Hanno".split()),
    family=tuple(
        "Terwin Olsberg Kranich Pauly Dressel Amsel Rehm Voss Lindqvist Opitz Tamm Zeller".split()
    ),
    towns=tuple(
        "Graufeld Merrin Ostby Lanquart Dornick Pelsen Tirlau Waxholt Sundra Cormery Altmoos Hevel".split()
    ),
    rivers=tuple("Ilver Sarn Tholla Wede Murn Aspa Lonne Quell Drave Fjord Nims Ahr".split()),
)

WORKLOAD = Book(
    questions={
        "director": (
            "Which person is the head of {inst} at present?",
            "Could you check who currently directs {inst}?",
            "We need to write to the director of {inst}. Who is it?",
            "Who, please, leads the {inst}?",
        ),
        "town": (
            "In what town will I find {inst}?",
            "Could you check where {inst} is located?",
            "We plan a visit to {inst}. In which town is it?",
            "Which place is home to the {inst}?",
        ),
        "founded": (
            "What was the year in which {inst} was founded?",
            "Could you check when {inst} was established?",
            "We write a leaflet on {inst}. When was it founded?",
            "The {inst} was opened in what year?",
        ),
        "born": (
            "What town was {person} born in?",
            "Could you check the birthplace of {person}?",
            "We write a leaflet on {person}. Where was this person born?",
            "From what place does {person} come?",
        ),
        "river": (
            "What is the name of the river at {town}?",
            "Could you check which river flows through {town}?",
            "We plan a visit to {town}. On which river does it lie?",
            "The town of {town} is on what river?",
        ),
        "director born": (
            "What town was the director of {inst} born in?",
            "Could you check the birthplace of the head of {inst}?",
            "We write a leaflet on the person who leads {inst}. Where was this person born?",
            "From what place does the director of the {inst} come?",
        ),
        "town river": (
            "What is the name of the river at the town of {inst}?",
            "Could you check which river flows through the town of {inst}?",
            "We plan a visit to {inst}. On which river does its town lie?",
            "The town with the {inst} is on what river?",
        ),
        "born river": (
            "What is the name of the river at the birthplace of {person}?",
            "Could you check which river flows through the town where {person} was born?",
            "We plan a visit to the birthplace of {person}. On which river does it lie?",
            "The place where {person} was born is on what river?",
        ),
    },
    passages={
        "director": (
            "At present {person} is the director of {inst}.",
            "{inst} works under {person}, who has been its head since {noise}.",
            "Those who write to {inst} write to {person}, its director.",
            "{person} leads {inst} together with a small staff.",
        ),
        "place": (
            "{inst} was founded in the year {year} and stands in the middle of {town}.",
            "{town} is proud of {inst}, which was opened in {year}.",
            "The house called {inst} is in {town}, where it was established in {year}.",
            "{inst} has been open since {year}, when it was founded in {town}.",
        ),
        "born": (
            "{person} was born in {noise} in the town of {town}.",
            "{person} is a child of {town}, born there in {noise}.",
            "A plaque in {town} tells that {person} was born there.",
            "{person} left {town}, the birthplace, at the age of nine.",
        ),
        "river": (
            "{town} lies where the river {river} leaves the hills.",
            "In {town} the houses stand close to the river {river}.",
            "The {river} flows slowly through the old town of {town}.",
            "{town} is the last town on the {river} before the sea.",
        ),
    },
    fillers=(
        "Guided tours start at noon.",
        "The last repairs were made in {noise}.",
        "{other} left it {count} letters.",
        "It is well worth a day.",
        "Its garden was laid out by {other} in {noise}.",
    ),
    houses=tuple(
        "Halden Corvin Tessel Arlow Brandeis Mirren Ostara Pellworm Quarrel Rusken Sibling Tavast Umbra Varnel Wendish Ygdra Zorn Calder Dunmore Esker Fallon Grieve Harrow Inish".split()
    ),
    given=tuple(
        "Ilse Anton Greta Milan Nora Oskar Paula Rafael Sonja Theo Ursel Viktor Wanda Xenia Yannick Zita Bruno Clara Detlef Edda Ferris Gunda Henrik Ines".split()
    ),
    family=tuple(
        "Brandt Keller Moreno Novak Petersen Quandt Riemann Sander Thorsen Ullman Vargas Wexler Yarrow Ziegler Abel Bartok Corso Dietz Engel Falk Gruber Holm Ibsen Jansen".split()
    ),
    towns=tuple(
        "Marbach Tolm Ansdorf Birkwald Cresmont Dalby Ebersund Farrow Glimmen Hollin Istrup Jarmen Kelso Lunden Morvik Nesbach Orsk Pinnau Rostrop Saltow Tangern Uelsby Vinstra Wittmoor".split()
    ),
    rivers=tuple(
        "Selde Arga Brenne Cosna Dwina Elz Fulda Gande Hunte Isen Jagst Krumme Leda Mosa Nethe Ocker Pader Rega Stepa Tyr Unna Vils Wakenitz Zschopau".split()
    ),
)

SPLITS = {"train": TRAIN, "dev": DEV, "workload": WORKLOAD}
