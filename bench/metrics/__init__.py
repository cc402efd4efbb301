"""Recording, summarising, storing and comparing results."""
