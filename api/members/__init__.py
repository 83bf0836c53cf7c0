"""Who belongs to an organization, with which role, and who is invited."""
