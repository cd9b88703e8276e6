"""The check tags of MeSH."""

# Check tags that describe what was studied. Left out: those that describe the publication
# (Comparative Study, History of Medicine, funding), which NLM has turned into publication types.
CHECK_TAGS = (
    "Adolescent",
    "Adult",
    "Aged",
    "Aged, 80 and over",
    "Animals",
    "Cats",
    "Cattle",
    "Chick Embryo",
    "Child",
    "Child, Preschool",
    "Cricetinae",
    "Dogs",
    "Female",
    "Guinea Pigs",
    "Humans",
    "In Vitro Techniques",
    "Infant",
    "Infant, Newborn",
    "Male",
    "Mice",
    "Middle Aged",
    "Pregnancy",
    "Rabbits",
    "Rats",
    "Swine",
    "Young Adult",
)
