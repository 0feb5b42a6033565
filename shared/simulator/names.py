"""Invented names of companies, people and things said. Any likeness is chance."""

from __future__ import annotations

FIRST = (
    "Amara", "Anders", "Beatriz", "Chidi", "Chloe", "Daniel", "Dilnoza", "Elif", "Emeka", "Farah", "Gabriel", "Hana",
    "Henrik", "Ines", "Ivan", "Jamal", "Johanna", "Kaito", "Kiran", "Lars", "Leila", "Lucia", "Malik", "Marta", "Mei",
    "Mikael", "Naledi", "Nadia", "Oscar", "Paolo", "Priya", "Quentin", "Rafael", "Rosa", "Samir", "Sofia", "Tariq",
    "Tomasz", "Uma", "Viktor", "Wanjiru", "Xenia", "Yara", "Yusuf", "Zofia",
)  # fmt: skip
LAST = (
    "Abara", "Almeida", "Bergman", "Castellan", "Chaudhry", "Dahl", "Demir", "Eriksen", "Farouk", "Fontaine", "Grau",
    "Haddad", "Hollander", "Ibarra", "Ivanova", "Jansen", "Kamau", "Kovac", "Lindqvist", "Marchetti", "Mbeki",
    "Moreau", "Nakamura", "Nowak", "Okafor", "Olsen", "Pereira", "Quist", "Rahimi", "Rossi", "Sato", "Schreiber",
    "Singh", "Tanaka", "Ueda", "Varga", "Wagner", "Xu", "Yilmaz", "Zeman",
)  # fmt: skip
COMPANY_FIRST = (
    "Alder", "Amber", "Arc", "Birch", "Blue Heron", "Bramble", "Cedar", "Cinder", "Cobalt", "Copper", "Crest", "Dune",
    "Ember", "Fern", "Field", "Flint", "Garnet", "Glass", "Granite", "Harbour", "Hazel", "Iron", "Juniper", "Kestrel",
    "Larch", "Linden", "Maple", "Marsh", "Mill", "Moss", "North", "Oak", "Onyx", "Opal", "Pebble", "Pine", "Quarry",
    "Raven", "Reed", "Ridge", "River", "Rowan", "Sable", "Salt", "Slate", "Sparrow", "Stone", "Thistle", "Tidal",
    "Timber", "Vale", "Willow", "Winter", "Wren",
)  # fmt: skip
COMPANY_LAST = (
    "bridge", "brook", "dale", "fall", "field", "ford", "gate", "grove", "haven", "hill", "holm", "land", "line",
    "mark", "mere", "mont", "point", "port", "side", "stead", "ton", "vale", "view", "well", "wick", "worth",
)  # fmt: skip
TRADES = {
    "customer": (
        "Logistics", "Foods", "Health", "Insurance", "Energy", "Retail", "Media", "Software", "Bank", "Hotels",
        "Robotics", "Pharma", "Textiles", "Aviation", "Publishing", "Breweries",
    ),
    "partner": ("Systems", "Consulting", "Integrators", "Advisory", "Digital"),
    "supplier": ("Hosting", "Networks", "Printing", "Telecom", "Security"),
    "investor": ("Capital", "Ventures", "Partners", "Equity"),
    "community": ("Foundation", "User Group", "Meetup", "Institute"),
}  # fmt: skip
OWNERS = ("ana.keller", "bo.lindahl", "carmen.diaz", "dev.patel", "esi.mensah", "finn.okeefe", "gita.rao", "hugo.blanc")
FEATURES = ("dashboards", "reports", "export", "workflows", "alerts", "forecasts", "integrations", "api")
GOOD = (
    "Thanks, that solved it within the hour.",
    "The team likes the new reports, good work.",
    "We would like to roll this out to a second site.",
    "Quick reply as always, appreciated.",
)
PLAIN = (
    "Could you send the figures for last month?",
    "When is the next release planned?",
    "Please add two colleagues to our account.",
    "Attached are the notes from our call.",
)
BAD = (
    "This is the third time the import has failed.",
    "We are still waiting for an answer.",
    "The export is too slow to be of use to us.",
    "My colleagues ask whether there is an alternative.",
)
TICKETS = (
    "Export stops at 10,000 rows",
    "Cannot log in after the update",
    "Figures differ between two reports",
    "Webhook arrives twice",
    "Question about permissions",
)
PROMISES = (
    "Send the migration plan",
    "Fix the import of dates",
    "Training for the new team",
    "Offer for ten more seats",
    "Report on last week's outage",
)
