"""What filters and a payload would do to events that were: nothing is saved and nothing is sent."""
