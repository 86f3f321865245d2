"""Where identifiers come from: a list, the rows of a query, or a file; each gives the same entries."""
