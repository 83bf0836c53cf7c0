"""Why an attempt failed: the words that stand in the log, and by which it can be searched."""

from enum import StrEnum


class ErrorKind(StrEnum):
    """Why an attempt failed."""

    DNS = "dns"  # the name has no address
    CONNECT = "connect"  # nobody listens, no route, reset while dialling
    TLS = "tls"  # the certificate or the handshake
    TIMEOUT = "timeout"  # no whole answer within the subscription's timeout
    HTTP = "http"  # an answer, but not 2xx; redirects are not followed
    BLOCKED = "blocked"  # the address is one that must not be called
    DISCONNECTED = "disconnected"  # the connection ended before a whole answer
    PROTOCOL = "protocol"  # what came is not HTTP
    TOO_LARGE = "too_large"  # the answer's status line or headers are over the limit
    UNSENDABLE = "unsendable"  # our side: the secret does not open, the URL cannot be dialled
    DELETED = "deleted"  # the subscription is gone
    DISABLED = "disabled"  # the subscription is disabled
    HELD_TOO_LONG = "held_too_long"  # behind until its topic would have forgotten it
