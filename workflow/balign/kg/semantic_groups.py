"""The 15 semantic groups over the 127 semantic types of UMLS.

McCray, Burgun, Bodenreider: Aggregating UMLS semantic types for reducing conceptual complexity,
MEDINFO 2001; the types of the Semantic Network since 2018.
"""

from __future__ import annotations

GROUP_NAMES = {
    "ACTI": "Activities & Behaviors",
    "ANAT": "Anatomy",
    "CHEM": "Chemicals & Drugs",
    "CONC": "Concepts & Ideas",
    "DEVI": "Devices",
    "DISO": "Disorders",
    "GENE": "Genes & Molecular Sequences",
    "GEOG": "Geographic Areas",
    "LIVB": "Living Beings",
    "OBJC": "Objects",
    "OCCU": "Occupations",
    "ORGA": "Organizations",
    "PHEN": "Phenomena",
    "PHYS": "Physiology",
    "PROC": "Procedures",
}

_TYPES = """
ACTI T051 Event|T052 Activity|T053 Behavior|T054 Social Behavior|T055 Individual Behavior
ACTI T056 Daily or Recreational Activity|T057 Occupational Activity
ACTI T064 Governmental or Regulatory Activity|T066 Machine Activity
ANAT T017 Anatomical Structure|T018 Embryonic Structure|T021 Fully Formed Anatomical Structure
ANAT T022 Body System|T023 Body Part, Organ, or Organ Component|T024 Tissue|T025 Cell
ANAT T026 Cell Component|T029 Body Location or Region|T030 Body Space or Junction
ANAT T031 Body Substance
CHEM T103 Chemical|T104 Chemical Viewed Structurally|T109 Organic Chemical
CHEM T114 Nucleic Acid, Nucleoside, or Nucleotide|T116 Amino Acid, Peptide, or Protein
CHEM T120 Chemical Viewed Functionally|T121 Pharmacologic Substance
CHEM T122 Biomedical or Dental Material|T123 Biologically Active Substance|T125 Hormone
CHEM T126 Enzyme|T127 Vitamin|T129 Immunologic Factor
CHEM T130 Indicator, Reagent, or Diagnostic Aid|T131 Hazardous or Poisonous Substance
CHEM T192 Receptor|T195 Antibiotic|T196 Element, Ion, or Isotope|T197 Inorganic Chemical
CHEM T200 Clinical Drug
CONC T077 Conceptual Entity|T078 Idea or Concept|T079 Temporal Concept|T080 Qualitative Concept
CONC T081 Quantitative Concept|T082 Spatial Concept|T089 Regulation or Law|T102 Group Attribute
CONC T169 Functional Concept|T170 Intellectual Product|T171 Language|T185 Classification
DEVI T074 Medical Device|T075 Research Device|T203 Drug Delivery Device
DISO T019 Congenital Abnormality|T020 Acquired Abnormality|T033 Finding|T037 Injury or Poisoning
DISO T046 Pathologic Function|T047 Disease or Syndrome|T048 Mental or Behavioral Dysfunction
DISO T049 Cell or Molecular Dysfunction|T050 Experimental Model of Disease|T184 Sign or Symptom
DISO T190 Anatomical Abnormality|T191 Neoplastic Process
GENE T028 Gene or Genome|T085 Molecular Sequence|T086 Nucleotide Sequence
GENE T087 Amino Acid Sequence|T088 Carbohydrate Sequence
GEOG T083 Geographic Area
LIVB T001 Organism|T002 Plant|T004 Fungus|T005 Virus|T007 Bacterium|T008 Animal|T010 Vertebrate
LIVB T011 Amphibian|T012 Bird|T013 Fish|T014 Reptile|T015 Mammal|T016 Human|T096 Group
LIVB T097 Professional or Occupational Group|T098 Population Group|T099 Family Group
LIVB T100 Age Group|T101 Patient or Disabled Group|T194 Archaeon|T204 Eukaryote
OBJC T071 Entity|T072 Physical Object|T073 Manufactured Object|T167 Substance|T168 Food
OCCU T090 Occupation or Discipline|T091 Biomedical Occupation or Discipline
ORGA T092 Organization|T093 Health Care Related Organization|T094 Professional Society
ORGA T095 Self-help or Relief Organization
PHEN T034 Laboratory or Test Result|T038 Biologic Function|T067 Phenomenon or Process
PHEN T068 Human-caused Phenomenon or Process|T069 Environmental Effect of Humans
PHEN T070 Natural Phenomenon or Process
PHYS T032 Organism Attribute|T039 Physiologic Function|T040 Organism Function
PHYS T041 Mental Process|T042 Organ or Tissue Function|T043 Cell Function|T044 Molecular Function
PHYS T045 Genetic Function|T201 Clinical Attribute
PROC T058 Health Care Activity|T059 Laboratory Procedure|T060 Diagnostic Procedure
PROC T061 Therapeutic or Preventive Procedure|T062 Research Activity
PROC T063 Molecular Biology Research Technique|T065 Educational Activity
"""


def _parse() -> dict[str, tuple[str, str]]:
    types = {}
    for line in _TYPES.strip().splitlines():
        group, _, rest = line.partition(" ")
        for item in rest.split("|"):
            tui, _, name = item.partition(" ")
            types[tui] = (group, name)
    return types


SEMANTIC_TYPES = _parse()
"""TUI → (group, name of the type)."""

GROUP_OF_TYPE = {name: group for group, name in SEMANTIC_TYPES.values()}
"""Name of a semantic type → its group."""
