"""OAuth clients: an organization's applications, their secrets, and who approved them."""
