"""Sealed values open where they were sealed, with a key that is here, untouched; and nowhere else."""

import base64
import hmac
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from schemas.sealing import (
    HEADERS_PURPOSE,
    SECRET_PURPOSE,
    Sealer,
    SealingError,
    key_id_of,
    new_master_key,
    sealer_of,
)

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
PLACE = {"organization": "org_789", "row": "sub_1", "purpose": SECRET_PURPOSE}
SEALER = Sealer({"k1": KEY}, current="k1")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.binary(max_size=200), texts, texts, texts)
def test_what_is_sealed_for_a_place_opens_there(plain: bytes, organization: str, row: str, purpose: str) -> None:
    sealed = SEALER.seal(plain, organization=organization, row=row, purpose=purpose)
    assert SEALER.open(sealed, organization=organization, row=row, purpose=purpose) == plain
    assert not plain[:8] or len(plain) < 8 or plain not in sealed


def test_sealing_twice_gives_different_bytes() -> None:
    assert len({SEALER.seal(b"x", **PLACE) for _ in range(1000)}) == 1000


def test_every_single_bit_flipped_is_refused() -> None:
    ring = Sealer({"k1": KEY, "k0": os.urandom(32), "k3": os.urandom(32)}, current="k1")  # k0, k3: one bit from k1
    sealed = ring.seal(b"whsec", **PLACE)
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealingError):
            ring.open(bytes(flipped), **PLACE)


def test_every_truncation_and_anything_added_is_refused() -> None:
    sealed = SEALER.seal(b"whsec", **PLACE)
    for end in range(len(sealed)):
        with pytest.raises(SealingError):
            SEALER.open(sealed[:end], **PLACE)
    with pytest.raises(SealingError):
        SEALER.open(sealed + b"\x00", **PLACE)


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_refused_and_raise_nothing_else(noise: bytes) -> None:
    for value in (noise, b"\x01" + noise, b"\x01\x02k1" + noise):
        with pytest.raises(SealingError):
            SEALER.open(value, **PLACE)


@pytest.mark.parametrize(
    "moved",
    [
        {"organization": "org_790"},
        {"row": "sub_2"},
        {"purpose": HEADERS_PURPOSE},
        {"organization": "org_789s", "row": "ub_1"},  # the same bytes one after the other
        {"organization": "sub_1", "row": "org_789"},
        {"organization": ""},
    ],
)
def test_moved_to_another_place_it_does_not_open(moved: dict[str, str]) -> None:
    with pytest.raises(SealingError, match="moved from another row"):
        SEALER.open(SEALER.seal(b"whsec", **PLACE), **{**PLACE, **moved})


def test_a_key_ring_seals_with_the_current_key_and_opens_with_all() -> None:
    older, newer = new_master_key(), new_master_key()
    sealed = sealer_of(older).seal(b"whsec", **PLACE)
    ring = sealer_of(f"{newer}, {older}")
    assert ring.open(sealed, **PLACE) == b"whsec"
    sealed_again = ring.seal(b"whsec", **PLACE)
    assert sealer_of(newer).open(sealed_again, **PLACE) == b"whsec"
    with pytest.raises(SealingError, match="a master key that is not here"):
        sealer_of(older).open(sealed_again, **PLACE)


@given(st.binary(max_size=100))
def test_resealed_it_is_the_same_text_with_the_current_key_and_only_once(plain: bytes) -> None:
    older = Sealer({"k1": KEY}, current="k1")
    ring = Sealer({"k10": bytes(32), "k1": KEY}, current="k10")  # one id begins with the other
    sealed = older.seal(plain, **PLACE)
    again = ring.resealed(sealed, **PLACE)
    assert (key_id_of(sealed), key_id_of(again)) == ("k1", "k10")
    assert Sealer({"k10": bytes(32)}, current="k10").open(again, **PLACE) == plain
    assert ring.resealed(again, **PLACE) is again


def test_what_does_not_open_here_is_not_resealed() -> None:
    with pytest.raises(SealingError, match="moved from another row"):
        Sealer({"k2": bytes(32), "k1": KEY}, current="k2").resealed(
            SEALER.seal(b"x", **PLACE), **{**PLACE, "row": "sub_2"}
        )


def test_a_ring_names_its_keys_the_sealing_one_first() -> None:
    ring = Sealer({"k1": KEY, "k2": KEY, "k3": KEY}, current="k2")
    assert (ring.current, ring.key_ids) == ("k2", ("k2", "k1", "k3"))


def test_another_key_of_the_same_id_does_not_open() -> None:
    sealed = SEALER.seal(b"whsec", **PLACE)
    with pytest.raises(SealingError, match="another master key 'k1'"):
        Sealer({"k1": bytes(32)}, current="k1").open(sealed, **PLACE)


def test_the_layout_is_the_documented_one_and_cryptography_opens_it() -> None:
    sealed = SEALER.seal(b"whsec", **PLACE)
    assert sealed[:4] == b"\x01\x02k1"
    nonce, ciphertext = sealed[4:16], sealed[16:]
    bound = b"\x00\x00\x00\x07org_789" + b"\x00\x00\x00\x05sub_1" + b"\x00\x00\x00\x13subscription-secret"
    assert AESGCM(KEY).decrypt(nonce, ciphertext, bound) == b"whsec"


def test_a_value_sealed_long_ago_still_opens() -> None:
    """The layout rests in databases: this value must open for ever."""
    sealed = bytes.fromhex("01026b31000102030405060708090a0b306aa57ea646cf59b53a7f1a7975e8790fdb04ba0c")
    assert SEALER.open(sealed, **PLACE) == b"whsec"


ENCODED = base64.b64encode(KEY).decode()


@pytest.mark.parametrize(
    ("master_keys", "said"),
    [
        ("", "must be id:base64"),
        ("k1", "must be id:base64"),
        (ENCODED, "must be id:base64"),
        ("k1:", "holds 0 bytes"),
        (f"k1:{ENCODED[:-4]}", "holds 30 bytes; AES-256 wants 32"),
        (f"k1:{ENCODED[:-1]}", "must be id:base64"),
        (f"k1:{ENCODED}é", "must be id:base64"),
        (f"k1: {ENCODED}", "must be id:base64"),
        (f"k1:{ENCODED},", "must be id:base64"),
        (f"k1:{ENCODED};k2:{ENCODED}", "must be id:base64"),
        (f"k1:{ENCODED},k1:{base64.b64encode(bytes(32)).decode()}", "the same id"),
        (f":{ENCODED}", "1 to 32 printable ASCII"),
        (f"{'k' * 33}:{ENCODED}", "1 to 32 printable ASCII"),
        (f"ü:{ENCODED}", "1 to 32 printable ASCII"),
        (f"a\x7f:{ENCODED}", "1 to 32 printable ASCII"),
        (f"{ENCODED}:k1==", "1 to 32 printable ASCII"),  # the two the wrong way round
    ],
)
def test_a_bad_master_key_is_refused_and_never_quoted(master_keys: str, said: str) -> None:
    with pytest.raises(SealingError, match=said) as caught:
        sealer_of(master_keys)
    assert ENCODED[:8] not in str(caught.value)


def test_the_current_key_must_be_among_the_keys() -> None:
    with pytest.raises(SealingError, match="no master key 'k2' among the 1 given"):
        Sealer({"k1": KEY}, current="k2")


def test_new_master_keys_are_good_and_never_the_same() -> None:
    made = {new_master_key() for _ in range(50)}
    assert len(made) == 50
    for key in made:
        assert sealer_of(key).open(sealer_of(key).seal(b"x", **PLACE), **PLACE) == b"x"


def test_a_sealer_shows_no_key() -> None:
    assert ENCODED not in repr(SEALER)
    assert KEY.hex() not in repr(SEALER)


def test_a_derived_key_is_hkdf_of_each_master_key_the_current_first() -> None:
    """RFC 5869, 2.2 and 2.3 with hmac alone: no salt is as many zeros as the hash has bytes, one block is enough."""
    ring = Sealer({"k1": KEY, "k0": OTHER}, current="k0")

    def hkdf(key: bytes) -> bytes:
        extracted = hmac.digest(bytes(32), key, "sha256")
        return hmac.digest(extracted, b"links\x01", "sha256")

    assert ring.derived("links") == [hkdf(OTHER), hkdf(KEY)]
    assert ring.derived("links") != ring.derived("sessions")
