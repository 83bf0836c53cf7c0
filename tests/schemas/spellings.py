"""The ways to write one IPv4 address that some parser or other takes for it."""

from ipaddress import IPv4Address

_WIDE = {ord(digit): ord("０") + int(digit) for digit in "0123456789"}
_CIRCLED = dict(zip(map(ord, "0123456789"), "⓪①②③④⑤⑥⑦⑧⑨", strict=True))


def spellings_of(address: str) -> list[str]:
    """Return hosts of a URL: octal, hex, short, padded, full-width and circled, with other dots, in IPv6 forms."""
    octets = [int(octet) for octet in address.split(".")]
    number = int(IPv4Address(address))
    wide = address.translate(_WIDE)
    return [
        address, f"{address}.", str(number), hex(number), f"0{number:o}", wide, wide.replace(".", "。"),
        address.translate(_CIRCLED), address.replace(".", "．"), address.replace(".", "｡"), f"{hex(number)}.",
        ".".join(map(hex, octets)), ".".join(f"0{octet:o}" for octet in octets), hex(number).upper(),
        ".".join(f"{octet:04d}" for octet in octets), f"{octets[0]}.{number & 0xFFFFFF}",
        f"{octets[0]}.{octets[1]}.{number & 0xFFFF}",
        ".".join([hex(octets[0]), f"0{octets[1]:o}", str(number & 0xFFFF)]),
        *(f"[{embedded}]" for embedded in embeddings_of(address)),
    ]  # fmt: skip


def embeddings_of(address: str) -> list[str]:
    """Return the IPv6 addresses that carry an IPv4 one: mapped, compatible, translated, NAT64, 6to4, Teredo."""
    number = int(IPv4Address(address))
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    client = number ^ 0xFFFF_FFFF  # Teredo (RFC 4380, 4) hides it so
    return [
        f"::ffff:{address}", f"::ffff:{high}:{low}", f"0:0:0:0:0:FFFF:{high.upper()}:{low.upper()}", f"::{address}",
        f"::ffff:0:{address}", f"64:ff9b::{address}", f"64:ff9b:1::{address}", f"2002:{high}:{low}::",
        f"2002:{high}:{low}::1", f"2001:0:{high}:{low}::", f"2001:0:a00:1:0:0:{client >> 16:x}:{client & 0xFFFF:x}",
        f"fe80::5efe:{address}",
    ]  # fmt: skip
