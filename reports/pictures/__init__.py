"""Pictures: declared by a spec (``declared``), of a claim by its form (``claims``), of all claims (``forest``)."""
