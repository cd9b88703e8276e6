"""balign: from a biomedical knowledge graph and PubMed to an aligned language model."""

__version__ = "0.1.0"
