"""Organizations: the tenants, their settings, branding and limits."""
