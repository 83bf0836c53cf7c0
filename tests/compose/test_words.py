"""Words that the command writes again, so that `--help` imports nothing: they are the API's."""

from enum import StrEnum

import pytest

from api.deliveries.tables import DeliveryState
from api.subscriptions.tables import SubscriptionState
from compose.commands import options, schemas, sending, subscriptions
from schemas.catalogue import EventTypeState
from schemas.records import OnExhaustion, Ordering, SignatureStyle


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (options.DeliveryState, DeliveryState),
        (subscriptions.State, SubscriptionState),
        (sending.Ordering, Ordering),
        (sending.OnExhaustion, OnExhaustion),
        (sending.Style, SignatureStyle),
        (schemas.State, EventTypeState),
    ],
)
def test_options_take_the_words_of_the_api(ours: type[StrEnum], theirs: type[StrEnum]) -> None:
    assert {word.value for word in ours} == {word.value for word in theirs}
