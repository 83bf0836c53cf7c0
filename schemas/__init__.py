"""What all parties agree on: records, codecs, topics, ids, headers, signatures. Pure: no sockets, no settings."""
