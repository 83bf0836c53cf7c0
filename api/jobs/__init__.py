"""Every long job of an organization in one view, whatever its kind."""
