"""Orders with a client that openapi-python-client made."""

import os
import uuid

from python_client.orders import AuthenticatedClient
from python_client.orders.api.orders import cancel_order, create_order, get_order, update_order_status
from python_client.orders.models import (
    Address,
    InvalidOrReusedProblem,
    NewOrder,
    NewOrderItemsItem,
    Order,
    OrderNotFoundProblem,
    Stage,
    StageStatus,
    StatusConflict,
)

URL = os.environ["ORDERS_URL"]
customer = AuthenticatedClient(base_url=URL, token=os.environ["CUSTOMER_TOKEN"])
operator = AuthenticatedClient(base_url=URL, token=os.environ["TOKEN"])


def order_of(product: str) -> NewOrder:
    return NewOrder(
        items=[NewOrderItemsItem(product_id=product, quantity=1)],
        currency="EUR",
        payment_method="tok_ok",
        address=Address(
            street_address="1 Harbour Street", city="Galway", postal_code="H91 E2K3", country="IE"
        ),
    )


key = str(uuid.uuid4())
placed = create_order.sync(client=customer, body=order_of("TEA-SENCHA-100"), idempotency_key=key)
assert isinstance(placed, Order), placed
read = get_order.sync(placed.order_id, client=customer)
assert isinstance(read, Order) and read.items == placed.items, read

conflict = update_order_status.sync(
    placed.order_id, client=operator, body=Stage(status=StageStatus.DELIVERED)
)
assert isinstance(conflict, StatusConflict) and conflict.detail, conflict
missing = get_order.sync(uuid.uuid4(), client=customer)
assert isinstance(missing, OrderNotFoundProblem) and missing.status == 404, missing
invalid = create_order.sync(client=customer, body=order_of("NO-SUCH-TEA"))
assert isinstance(invalid, InvalidOrReusedProblem) and invalid.errors, invalid

cancelled = cancel_order.sync(placed.order_id, client=customer)
assert isinstance(cancelled, Order), cancelled
print(f"openapi-python-client: order {placed.order_id}, and three errors by their types")
