"""Users: accounts, their passwords and their e-mail addresses."""
