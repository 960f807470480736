// Orders with the types that openapi-typescript made, and openapi-fetch, which sends what they allow.

import createClient from "openapi-fetch";
import type { components, paths } from "./orders.js";

declare const process: { env: Record<string, string | undefined> };

type Schema = components["schemas"];

const baseUrl = process.env["ORDERS_URL"];
const client = (token: string | undefined) =>
  createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });
const customer = client(process.env["CUSTOMER_TOKEN"]);
const operator = client(process.env["TOKEN"]);

const orderOf = (productId: string): Schema["NewOrder"] => ({
  items: [{ productId, quantity: 1 }],
  currency: "EUR",
  paymentMethod: "tok_ok",
  address: { streetAddress: "1 Harbour Street", city: "Galway", postalCode: "H91 E2K3", country: "IE" },
});

/** Node 18 has no `crypto` of its own. */
let made = 0;
const uuid = () => `00000000-0000-4000-8000-${(Date.now() * 16 + made++).toString(16).padStart(12, "0")}`;

function there<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
}

/** Compiles only if the errors of the operation can be of this type. */
function expect<Type extends string>(error: { type: Type } | undefined, type: Type) {
  if (error?.type !== type) throw new Error(`${JSON.stringify(error)} is not ${type}`);
}

const placed = await customer.POST("/api/orders", {
  params: { header: { "Idempotency-Key": uuid() } },
  body: orderOf("TEA-SENCHA-100"),
});
const order: Schema["Order"] = there(placed.data, "the order");
const path = { id: order.orderId };
const read = await customer.GET("/api/orders/{id}", { params: { path } });
if (read.data?.orderId !== order.orderId) throw new Error("another order was read");

const conflict = await operator.PUT("/api/orders/{id}/status", {
  params: { path },
  body: { status: "DELIVERED" },
});
expect(conflict.error, "urn:trackops:problem:status-conflict");
const missing = await customer.GET("/api/orders/{id}", { params: { path: { id: uuid() } } });
expect(missing.error, "urn:trackops:problem:order-not-found");
const invalid = await customer.POST("/api/orders", { body: orderOf("NO-SUCH-TEA") });
expect(invalid.error, "urn:trackops:problem:invalid-request");
there(invalid.error?.errors, "what to change");

const cancelled = await customer.DELETE("/api/orders/{id}", { params: { path } });
there(cancelled.data, "the cancelled order");
console.log(`openapi-typescript: order ${order.orderId}, and three errors by their types`);
