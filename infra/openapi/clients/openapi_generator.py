"""Orders with a client that OpenAPI Generator made."""

import os
import uuid

from generator_orders import (
    Address,
    ApiClient,
    ApiException,
    Configuration,
    InvalidOrReusedProblem,
    NewOrder,
    NewOrderItemsInner,
    OrderNotFoundProblem,
    OrdersApi,
    Stage,
    StatusConflict,
)


def api(token: str) -> OrdersApi:
    return OrdersApi(ApiClient(Configuration(host=os.environ["ORDERS_URL"], access_token=token)))


customer, operator = api(os.environ["CUSTOMER_TOKEN"]), api(os.environ["TOKEN"])


def order_of(product: str) -> NewOrder:
    return NewOrder(
        items=[NewOrderItemsInner(productId=product, quantity=1)],
        currency="EUR",
        paymentMethod="tok_ok",
        address=Address(
            streetAddress="1 Harbour Street", city="Galway", postalCode="H91 E2K3", country="IE"
        ),
    )


placed = customer.create_order(order_of("TEA-SENCHA-100"), idempotency_key=str(uuid.uuid4()))
read = customer.get_order(placed.order_id)
assert read.items == placed.items, read

try:
    raise SystemExit(operator.update_order_status(placed.order_id, Stage(status="DELIVERED")))
except ApiException as error:
    assert isinstance(error.data, StatusConflict) and error.data.detail, error
try:
    raise SystemExit(customer.get_order(uuid.uuid4()))
except ApiException as error:
    assert isinstance(error.data, OrderNotFoundProblem) and error.data.status == 404, error
try:
    raise SystemExit(customer.create_order(order_of("NO-SUCH-TEA")))
except ApiException as error:
    assert isinstance(error.data, InvalidOrReusedProblem) and error.data.errors, error

cancelled = customer.cancel_order(placed.order_id)
assert cancelled.order_id == placed.order_id, cancelled
print(f"OpenAPI Generator: order {placed.order_id}, and three errors by their types")
