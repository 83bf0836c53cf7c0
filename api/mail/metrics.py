"""What Prometheus can ask the sender of e-mails. Labels are few and bounded."""

from prometheus_client import Counter

MAILS = Counter("hookline_mails", "Attempts to send an e-mail, by what came of them.", ["template", "outcome"])
