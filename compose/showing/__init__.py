"""What the API answered, for people: tables and readable details, at most 100 columns where nobody wrote more."""
