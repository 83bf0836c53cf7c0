"""E-mail: written in the transaction that causes it, sent and retried by one sender."""
