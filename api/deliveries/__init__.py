"""The delivery log: events, what they owed to whom, and each attempt, as the projection keeps them."""
