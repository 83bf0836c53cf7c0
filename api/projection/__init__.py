"""From the topics to the tables: the delivery log, its totals and what is decided from it."""
