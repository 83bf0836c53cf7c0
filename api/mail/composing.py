"""An e-mail as it goes over the wire (RFC 5322), made of what stands in its row: the same each time it is sent."""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

import idna

from api.mail.rendering import Rendered
from schemas.errors import HooklineError


class UnfitAddress(HooklineError):
    """What cannot be the address of an e-mail. The text does not hold it."""


def sender_of(text: str) -> Address:
    """Return whom e-mails are from, who `Name <address>` or an address is; raises UnfitAddress."""
    if not text.isprintable():
        raise UnfitAddress("cannot be in a header")
    found = SMTP.header_factory("From", text)
    addresses: tuple[Address, ...] = getattr(found, "addresses", ())
    if len(addresses) != 1 or found.defects:
        raise UnfitAddress("is not one address, with or without a name")
    plain = address_of(addresses[0].addr_spec)
    return Address(addresses[0].display_name, plain.username, plain.domain)


def address_of(text: str) -> Address:
    """Return an address that can be in a header and in SMTP's RCPT; raises UnfitAddress.

    Before the @ there is ASCII only: beyond it every server on the way would have to know SMTPUTF8 (RFC 6531). A domain
    of other letters is written as DNS has it (RFC 5891).
    """
    local, at, domain = text.rpartition("@")
    try:
        ascii_domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
        address = Address(addr_spec=f"{local}{at}{ascii_domain}")
    except Exception as error:  # the parser's errors for odd addresses are of many kinds, IndexError among them
        raise UnfitAddress("is not an e-mail address that we can write to") from error
    if not text.isprintable() or " " in text or address.addr_spec != f"{local}{at}{ascii_domain}":
        raise UnfitAddress("is not an e-mail address that we can write to")
    return address


def composed(
    mail_id: str, words: Rendered, *, sender: Address, recipient: Address, created_at: datetime
) -> EmailMessage:
    """Return the message. Its id is the row's: who gets it twice can tell (RFC 5322, 3.6.4)."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = words.subject
    message["Date"] = created_at
    message["Message-ID"] = f"<{mail_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # nobody's holiday answers it (RFC 3834, 5)
    message.set_content(words.text)
    message.add_alternative(words.html, subtype="html")
    message.set_boundary(f"={mail_id}=")  # a random one would make it another e-mail each time
    return message
