"""The guards that `run.py` takes out, one at a time, and the test that has to notice.

To add one: what is lost without it, the file, the exact text (it must be in the file once), what
stands there instead, and the test. It is best to weaken one condition, and to choose the cheapest
test that notices.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Test:
    package: str
    target: str  # "lib", or the name of a binary under tests/
    name: str


@dataclass(frozen=True)
class Guard:
    name: str
    file: str
    text: str
    instead: str
    test: Test


def lib(package):
    return lambda name: Test(f"trackops-{package}", "lib", name)


domain, aws, lambda_, orders, payments, relay = map(
    lib, ("domain", "aws", "lambda", "orders", "payments", "relay")
)


def store(name):
    return Test("trackops-aws", "store", name)


def consistency(name):
    return Test("trackops-tests", "consistency", name)


def publisher(name):
    return Test("trackops-tests", "publisher", name)


AGGREGATE = "shared/aws/src/aggregate.rs"
INVENTORY = "shared/aws/src/inventory.rs"
PAYMENTS = "shared/aws/src/payments.rs"
TRANSACT = "shared/aws/src/transact.rs"
OUTBOX = "shared/aws/src/outbox.rs"
BUS = "shared/aws/src/bus.rs"
ORDER = "shared/domain/src/order.rs"
PAYMENT = "shared/domain/src/payment.rs"
RESERVATION = "shared/domain/src/reservation.rs"
STOCK = "shared/domain/src/stock.rs"
IDENTITY = "shared/lambda/src/identity.rs"
SIGNATURES = "shared/lambda/src/identity/signatures.rs"
CURSOR = "shared/lambda/src/cursor.rs"
BATCH = "shared/lambda/src/batch.rs"
WEBHOOK = "functions/payments/src/signature.rs"
SAGA = "infra/saga.asl.json"

GUARDS = [
    # The conditions of writes.
    Guard(
        "a change is of the version that was read", AGGREGATE,
        'CONDITION: &str = "#version = :expected"',
        'CONDITION: &str = "attribute_exists(pk) OR #version = :expected"',
        store("aggregates::whoever_writes_on_an_old_version_is_told_and_changes_nothing"),
    ),
    Guard(
        "what is new finds its key free", AGGREGATE,
        '.condition_expression("attribute_not_exists(pk)")\n            .send()',
        ".send()",
        store("inventory::a_product_is_added_once"),
    ),
    Guard(
        "what a transaction makes finds its key free", AGGREGATE,
        '.condition_expression("attribute_not_exists(pk)")\n            .build()',
        ".build()",
        store("inventory::reserving_again_and_at_the_same_time_takes_once_and_gives_the_recorded_answer"),
    ),
    Guard(
        "a change puts its item into the index of the unpublished", AGGREGATE,
        'item.insert("unpublished".into(), outbox::shard(&new.key()));',
        "",
        store("outbox::a_change_its_event_and_the_index_entry_are_one_write"),
    ),
    Guard(
        "units are taken only if there are enough", INVENTORY,
        '"available >= :enough AND',
        '"(available >= :enough OR attribute_exists(pk)) AND',
        store("inventory::of_sixty_four_orders_for_the_last_ten_units_ten_get_one"),
    ),
    Guard(
        "units are taken of what is still sold", INVENTORY,
        "AND discontinued = :no",
        "AND (discontinued = :no OR attribute_exists(pk))",
        store("inventory::a_product_is_discontinued_or_reserved_whoever_is_first_never_both"),
    ),
    Guard(
        "who crosses the low-stock mark has the version that was read", INVENTORY,
        'condition.push_str(" AND #version = :version");',
        'condition.push_str(" AND #version >= :version");',
        store("inventory::low_stock_is_told_once_when_the_mark_is_crossed_whoever_crosses_it"),
    ),
    Guard(
        "who does not cross the mark leaves more than it", INVENTORY,
        "enough += u64::from(item.low_stock_threshold) + 1",
        "enough += 0",
        store("inventory::low_stock_is_told_once_when_the_mark_is_crossed_whoever_crosses_it"),
    ),
    Guard(
        "of those who look after what is due one gets it", "shared/aws/src/due.rs",
        '"due_at = :since"',
        '"attribute_exists(due_at) OR due_at = :since"',
        store("orders::of_many_who_look_after_what_is_due_one_gets_it_and_it_keeps_none_waiting"),
    ),
    Guard(
        "an older version of a product changes nothing", "shared/aws/src/catalogue.rs",
        "(#sequence < :sequence AND",
        "((#sequence < :sequence OR attribute_exists(pk)) AND",
        store("catalogue::the_newest_version_stays_in_whatever_order_they_arrive"),
    ),
    # The outbox.
    Guard(
        "a trim forgets only the events that it has read", OUTBOX,
        "AND {first} = ? AND",
        "AND {first} >= ? AND",
        store("outbox::what_was_published_is_forgotten_and_the_item_leaves_the_index"),
    ),
    Guard(
        "a trim leaves an outbox that has grown", OUTBOX,
        "AND size(outbox) = ?",
        "AND size(outbox) >= ?",
        store("outbox::an_event_added_while_the_relay_publishes_keeps_all_of_them"),
    ),
    Guard(
        "an item waits since its oldest event", OUTBOX,
        "unpublished_since = if_not_exists(unpublished_since, :since)",
        "unpublished_since = :since",
        store("outbox::an_item_waits_since_its_oldest_event_however_many_follow"),
    ),
    Guard(
        "an entry is taken when its own answer says so", BUS,
        "Some(entry) if entry.event_id.is_some() && entry.error_code.is_none() => Ok(()),",
        "Some(_) => Ok(()),",
        aws("bus::tests::of_a_call_that_succeeds_each_entry_is_taken_or_not_as_its_own_answer_says"),
    ),
    Guard(
        "an entry without an answer is not taken", BUS,
        'None => Err(Refusal::for_now("NoAnswer", "the answer has no entry for it")),',
        "None => Ok(()),",
        aws("bus::tests::of_a_call_that_succeeds_each_entry_is_taken_or_not_as_its_own_answer_says"),
    ),
    Guard(
        "an event that is too large takes no neighbour with it", BUS,
        "&& size(event) > MAX_BYTES",
        "&& size(event) > usize::MAX",
        aws("bus::tests::an_event_that_is_too_large_is_refused_for_good_and_its_neighbours_are_taken"),
    ),
    Guard(
        "an event waits for a refused one before it", "functions/relay/src/publish.rs",
        "Err(refusal) => outcome.stopped = Some(Stopped::Left(refusal)),",
        "Err(_) => outcome.told += 1,",
        relay("publish::tests::an_event_never_overtakes_a_refused_one_of_its_item"),
    ),
    Guard(
        "a call has one event of an item", "functions/relay/src/publish.rs",
        "round.iter().map(|outcome| &outcome.item.outbox[outcome.told]).collect();",
        "round.iter().flat_map(|outcome| &outcome.item.outbox[outcome.told..]).collect();",
        relay("publish::tests::one_call_never_carries_two_events_of_one_item"),
    ),
    Guard(
        "an event is on Kafka when its partition acknowledged it", "functions/relay/src/kafka.rs",
        "results[index] = outcome;",
        "results[index] = outcome.or(Ok(()));",
        publisher("what_the_brokers_do_not_acknowledge_is_not_published"),
    ),
    Guard(
        "a stream record that cannot be read comes again", "functions/relay/src/relay_events.rs",
        "batch.failed.push(sequence_number);",
        "drop(sequence_number);",
        relay("relay_events::tests::a_record_that_makes_no_sense_comes_back_alone"),
    ),
    # Repeating.
    Guard(
        "a transaction that is tried again has the same token", TRANSACT,
        ".client_request_token(&token)",
        ".client_request_token(Uuid::now_v7().to_string())",
        aws("inventory::tests::a_transaction_that_met_another_is_tried_again_as_the_same_one"),
    ),
    Guard(
        "a transaction that met another is tried again", TRANSACT,
        "} else if codes.iter().any(|code| is_transient(code)) {",
        "} else if false {",
        aws("inventory::tests::a_transaction_that_met_another_is_tried_again_as_the_same_one"),
    ),
    Guard(
        "another body under one key is another request", "shared/lambda/src/idempotency.rs",
        "hex::encode(Sha256::digest(body))",
        "hex::encode(Sha256::digest(&body[..0]))",
        lambda_("idempotency::tests::another_body_is_another_request"),
    ),
    Guard(
        "a queue gets the records that failed again, and no others", BATCH,
        "let error = judge(body, handler, time).await.err()?;",
        "let error = judge(body, handler, time).await.err().filter(|_| false)?;",
        lambda_("batch::tests::what_failed_on_a_topic_is_judged_from_the_queue_as_what_eventbridge_delivers"),
    ),
    Guard(
        "what failed on a topic goes to the queue", BATCH,
        "again.take(delivery(record, value.ok().as_deref())).await?;",
        "",
        lambda_("batch::tests::a_record_of_a_topic_that_fails_goes_to_the_queue_with_its_payload_and_blocks_none"),
    ),
    # The saga.
    Guard(
        "a release that comes first leaves a tombstone", INVENTORY,
        "match self.table.create(&tombstone).await {",
        "match Ok::<(), StoreError>(()) {",
        store("inventory::a_release_that_comes_first_refuses_the_reserve"),
    ),
    Guard(
        "a void that comes first leaves a tombstone", PAYMENTS,
        "return Ok(Write::Create(Payment::tombstone(*id, now, cause.clone())));",
        "return Ok(Write::Nothing(Payment::tombstone(*id, now, cause.clone())));",
        store("payments::a_payment_voided_before_it_is_intended_is_never_asked_for"),
    ),
    Guard(
        "an order is locked before anything is undone", SAGA,
        '"Next": "GivenUp"',
        '"Next": "RefundPayment"',
        consistency("nothing_is_undone_before_the_order_is_locked_and_an_order_ends_only_when_all_is_undone"),
    ),
    Guard(
        "an order ends when its stock is back", SAGA,
        '"Next": "ReleaseInventory"',
        '"Next": "CloseOrder"',
        consistency("nothing_is_undone_before_the_order_is_locked_and_an_order_ends_only_when_all_is_undone"),
    ),
    Guard(
        "an order that was given up is not confirmed", ORDER,
        "(S::Pending | S::AwaitingPayment, F::Confirmed) => S::Confirmed",
        "(S::Pending | S::AwaitingPayment | S::Cancelling, F::Confirmed) => S::Confirmed",
        domain("order::tests::no_sequence_of_facts_breaks_an_order"),
    ),
    Guard(
        "late money goes back", PAYMENT,
        "(S::Voided | S::Declined, F::ProviderPaid) => S::Refunding",
        "(S::Voided | S::Declined, F::ProviderPaid) => S::Paid",
        domain("payment::tests::money_that_arrives_for_a_tombstone_goes_back_and_says_so"),
    ),
    Guard(
        "what an order counts on does not run out", RESERVATION,
        "(S::Held, F::Expired) => S::Expired",
        "(S::Held | S::Committed, F::Expired) => S::Expired",
        domain("reservation::tests::a_committed_reservation_neither_expires_nor_is_withdrawn"),
    ),
    Guard(
        "what is not there is not promised", STOCK,
        "let left = self.available.checked_sub(quantity)?;",
        "let left = self.available.saturating_sub(quantity);",
        domain("stock::tests::selling_out_in_any_steps_crosses_the_mark_once_and_never_oversells"),
    ),
    # The deadlines.
    Guard(
        "a pending order is due", ORDER,
        "Some(self.updated_at.plus(STUCK_AFTER).min(self.payment_deadline))",
        "None",
        domain("order::tests::an_order_on_its_way_always_has_a_deadline"),
    ),
    Guard(
        "an order that awaits its payment is due", ORDER,
        "OrderStatus::AwaitingPayment => Some(self.payment_deadline)",
        "OrderStatus::AwaitingPayment => None",
        domain("order::tests::an_order_on_its_way_always_has_a_deadline"),
    ),
    Guard(
        "a cancelling order is due", ORDER,
        "OrderStatus::Cancelling => Some(self.updated_at.plus(STUCK_AFTER))",
        "OrderStatus::Cancelling => None",
        domain("order::tests::an_order_on_its_way_always_has_a_deadline"),
    ),
    Guard(
        "a hold is due when it runs out", RESERVATION,
        "self.expires_at.filter(|_| self.state == ReservationState::Held)",
        "None",
        domain("reservation::tests::a_hold_is_due_when_it_runs_out_and_only_while_it_is_held"),
    ),
    Guard(
        "money that has to go back is due", PAYMENT,
        "| (PaymentState::Refunding, _) => Some(soon),",
        "| (PaymentState::Refunding, _) => None,",
        store("payments::money_that_arrives_after_the_void_goes_back_and_the_world_hears_of_both"),
    ),
    Guard(
        "a void that is not decided is due", PAYMENT,
        "self.undecided_since.map(|_| soon)",
        "None",
        store("payments::a_void_is_due_until_the_provider_has_decided_it"),
    ),
    Guard(
        "a charge without an outcome is due", PAYMENT,
        "Some(intent.wanted_until.plus(DECIDE_WITHIN).max(soon))",
        "None",
        store("payments::a_void_is_due_until_the_provider_has_decided_it"),
    ),
    # Who may do what.
    Guard(
        "a token is signed with ES256", SIGNATURES,
        "self.0.verify(message, signature).map_err(|_| Error::new())",
        "self.0.verify(message, signature).map_err(|_| Error::new()).or(Ok(()))",
        lambda_("identity::signatures::tests::the_examples_of_the_standard_verify_and_do_not_when_changed"),
    ),
    Guard(
        "a token is signed with RS256", SIGNATURES,
        "self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| Error::new())",
        "self.0.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).or(Ok(()))",
        lambda_("identity::signatures::tests::the_examples_of_the_standard_verify_and_do_not_when_changed"),
    ),
    Guard(
        "a token is of our issuer", IDENTITY,
        "validation.set_issuer(&[&self.issuer]);",
        "",
        lambda_("identity::tests::a_token_that_is_not_for_us_or_not_valid_now_is_refused"),
    ),
    Guard(
        "a token is for us", IDENTITY,
        "validation.set_audience(&[&self.audience]);",
        "validation.validate_aud = false;",
        lambda_("identity::tests::a_token_that_is_not_for_us_or_not_valid_now_is_refused"),
    ),
    Guard(
        "a token is valid now", IDENTITY,
        "validation.leeway = LEEWAY;",
        "validation.validate_exp = false;",
        lambda_("identity::tests::a_token_that_is_not_for_us_or_not_valid_now_is_refused"),
    ),
    Guard(
        "a token is valid already", IDENTITY,
        "validation.validate_nbf = true;",
        "validation.validate_nbf = false;",
        lambda_("identity::tests::a_token_that_is_not_for_us_or_not_valid_now_is_refused"),
    ),
    Guard(
        "a token says all that it must", IDENTITY,
        '&["exp", "iss", "aud", "sub"]',
        '&["sub"]',
        lambda_("identity::tests::a_token_that_is_not_for_us_or_not_valid_now_is_refused"),
    ),
    Guard(
        "a role is one of those that are asked for", IDENTITY,
        "if roles.contains(&self.role) { Ok(()) } else { Err(Problem::forbidden()) }",
        "if roles.contains(&self.role) { Ok(()) } else { Ok(()) }",
        lambda_("identity::tests::customers_see_what_is_theirs_and_do_only_what_their_role_may"),
    ),
    Guard(
        "customers see what is theirs", IDENTITY,
        "self.role != Role::Customer || self.subject == *customer",
        "self.role != Role::Customer || self.subject.as_str() <= customer.as_str()",
        lambda_("identity::tests::customers_see_what_is_theirs_and_do_only_what_their_role_may"),
    ),
    Guard(
        "customers order for themselves", "functions/orders/src/create_order.rs",
        "if caller.may_see(&asked.customer_id) { Ok(asked) } else { Err(Problem::forbidden()) }",
        "Ok(asked)",
        orders("create_order::tests::a_customer_orders_for_themselves_and_an_operator_says_for_whom"),
    ),
    Guard(
        "customers list what is theirs", "functions/orders/src/list_orders.rs",
        "Some(customer) if !caller.may_see(customer) =>",
        "Some(customer) if !caller.may_see(customer) && false =>",
        orders("list_orders::tests::customers_see_their_own_and_may_not_ask_for_others"),
    ),
    Guard(
        "a cursor is ours", CURSOR,
        "self.mac(position).verify_truncated_left(tag).map_err(|_| BadCursor)?;",
        "",
        lambda_("cursor::tests::a_cursor_with_one_character_changed_is_refused"),
    ),
    Guard(
        "a cursor is of one list and caller", CURSOR,
        "mac.update(&self.scope);",
        "",
        lambda_("cursor::tests::a_cursor_is_refused_for_another_list_caller_role_filter_or_secret"),
    ),
    Guard(
        "a webhook is signed", WEBHOOK,
        "mac(secret, seconds, body).verify_slice(&signature).map_err(|_| Refused::Signature)",
        "mac(secret, seconds, body).verify_slice(&signature).or(Ok(()))",
        payments("signature::tests::another_body_time_or_secret_is_refused"),
    ),
    Guard(
        "a webhook's time is signed", WEBHOOK,
        'mac.update(format!("{seconds}.").as_bytes());',
        "let _ = seconds;",
        payments("signature::tests::another_body_time_or_secret_is_refused"),
    ),
    Guard(
        "a webhook is of now", WEBHOOK,
        "if seconds.abs_diff(now.unix_seconds()) > TOLERANCE.as_secs() {",
        "if seconds.abs_diff(now.unix_seconds()) > 2 * TOLERANCE.as_secs() {",
        payments("signature::tests::what_was_signed_is_accepted_for_five_minutes"),
    ),
    # Limits.
    Guard(
        "a body has 64 KiB at most", "shared/lambda/src/http.rs",
        "if bytes.len() > MAX_BODY {",
        "if bytes.len() > 2 * MAX_BODY {",
        lambda_("http::tests::a_body_has_64_kib_at_most_as_bytes_of_whatever_encoding_the_gateway_chose"),
    ),
    Guard(
        "a field is given once", "shared/lambda/src/input.rs",
        'Taken::Never | Taken::Again => at.refuse("must be given once"),',
        "Taken::Never | Taken::Again => None,",
        lambda_("input::tests::a_field_that_is_given_twice_is_refused_even_if_both_are_good"),
    ),
]
