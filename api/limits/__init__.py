"""Rate limits by class of route, credential and organization."""
