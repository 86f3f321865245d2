"""What is promised to those who want to see their data: one whole document a person, and nobody else's data in it."""
