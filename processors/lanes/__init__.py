"""How deliveries wait: each subscription in a lane of its own, live or behind, so that none waits for another's."""
