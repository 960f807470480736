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


domain, aws, lambda_, orders, inventory, payments, relay, local = map(
    lib, ("domain", "aws", "lambda", "orders", "inventory", "payments", "relay", "local")
)


def store(name):
    return Test("trackops-aws", "store", name)


def consistency(name):
    return Test("trackops-tests", "consistency", name)


def sweeper(name):
    return Test("trackops-tests", "sweeper", name)


def publisher(name):
    return Test("trackops-tests", "publisher", name)


def e2e(name):
    """A whole cloud is built and started for it: only where nothing cheaper notices."""
    return Test("trackops-tests", "e2e", name)


AGGREGATE = "shared/aws/src/aggregate.rs"
INVENTORY = "shared/aws/src/inventory.rs"
PAYMENTS = "shared/aws/src/payments.rs"
TRANSACT = "shared/aws/src/transact.rs"
OUTBOX = "shared/aws/src/outbox.rs"
BUS = "shared/aws/src/bus.rs"
ONCE = "shared/aws/src/once.rs"
STORED = "shared/aws/src/stored.rs"
NOTICES = "shared/aws/src/notices.rs"
CARD = "shared/domain/src/card.rs"
MONEY = "shared/domain/src/money.rs"
ORDER = "shared/domain/src/order.rs"
PAYMENT = "shared/domain/src/payment.rs"
RESERVATION = "shared/domain/src/reservation.rs"
STOCK = "shared/domain/src/stock.rs"
IDENTITY = "shared/lambda/src/identity.rs"
KEYS = "shared/lambda/src/identity/keys.rs"
SIGNATURES = "shared/lambda/src/identity/signatures.rs"
CURSOR = "shared/lambda/src/cursor.rs"
BATCH = "shared/lambda/src/batch.rs"
HTTP = "shared/lambda/src/http.rs"
IDEMPOTENCY = "shared/lambda/src/idempotency.rs"
PRECONDITIONS = "shared/lambda/src/preconditions.rs"
RECOVERY = "shared/lambda/src/recovery.rs"
TASK = "shared/lambda/src/task.rs"
CREATE_ORDER = "functions/orders/src/create_order.rs"
RECENT = "functions/orders/src/recent.rs"
RUN = "functions/orders/src/saga.rs"
PUBLISH = "functions/relay/src/publish.rs"
RELAY_EVENTS = "functions/relay/src/relay_events.rs"
WEBHOOK = "functions/payments/src/signature.rs"
LAUNCHER_GUARD = "localstack/src/guard.rs"
LAUNCHER_OUTPUT = "localstack/src/output.rs"
SAGA = "infra/saga.asl.json"
TEMPLATE = "template.yaml"

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
        "who takes of what is low finds it low", INVENTORY,
        'Taking::AlreadyLow => condition.push_str(" AND available <= :threshold"),',
        "Taking::AlreadyLow => {}",
        aws(
            "inventory::tests::"
            "units_are_taken_on_the_side_of_the_low_stock_mark_that_was_seen_or_not_at_all"
        ),
    ),
    Guard(
        "who takes units has seen the low-stock mark that there is", INVENTORY,
        "AND low_stock_threshold = :threshold \\",
        "AND attribute_exists(pk) \\",
        aws(
            "inventory::tests::"
            "units_are_taken_on_the_side_of_the_low_stock_mark_that_was_seen_or_not_at_all"
        ),
    ),
    Guard(
        "holds that may be in the way delay a refusal", INVENTORY,
        "Err(_) if let Some(Err(error)) = overdue => return Err(error.into()),",
        "Err(_) if false => unreachable!(),",
        aws(
            "inventory::tests::"
            "holds_that_cannot_be_looked_at_delay_a_refusal_and_do_not_decide_it"
        ),
    ),
    Guard(
        "a refusal waits until all holds were looked at", INVENTORY,
        "None if !walk.is_done() => {",
        "None if false => {",
        aws(
            "inventory::tests::"
            "holds_that_cannot_be_looked_at_delay_a_refusal_and_do_not_decide_it"
        ),
    ),
    Guard(
        "a due key without an id is in nobody's way", INVENTORY,
        "failures.find(|error| !matches!(error, StoreError::Corrupt(_)))",
        "failures.find(|_| true)",
        aws("inventory::tests::a_due_key_without_an_id_is_in_no_reservations_way"),
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
        "an event waits for a refused one before it", PUBLISH,
        "Err(refusal) => outcome.stopped = Some(Stopped::Left(refusal)),",
        "Err(_) => outcome.told += 1,",
        relay("publish::tests::an_event_never_overtakes_a_refused_one_of_its_item"),
    ),
    Guard(
        "a call has one event of an item", PUBLISH,
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
        "a stream record that cannot be read comes again", RELAY_EVENTS,
        "batch.failed.push(sequence_number);",
        "drop(sequence_number);",
        relay("relay_events::tests::a_record_that_makes_no_sense_comes_back_alone"),
    ),
    Guard(
        "an event of a type that is not known is passed on", OUTBOX,
        "                Ok(name.into())",
        '''                match Kind::from(name) {
                    Kind::Unknown(_) => Err(E::custom("unknown")),
                    known => Ok(known),
                }''',
        store(
            "outbox::an_event_of_a_type_that_is_not_known_is_read_and_keeps_its_name_and_its_place"
        ),
    ),
    Guard(
        "what is behind an entry that cannot be read does not overtake it", OUTBOX,
        "unreadable.extend(entries.by_ref());",
        "",
        store("outbox::what_cannot_be_read_stays_as_it_is_while_what_was_before_it_is_forgotten"),
    ),
    Guard(
        "a trim leaves what it cannot read", OUTBOX,
        "let rest = left.iter().map(to_attribute_value).chain(odd.map(Ok));",
        "let rest = left.iter().map(to_attribute_value);",
        store("outbox::what_cannot_be_read_stays_as_it_is_while_what_was_before_it_is_forgotten"),
    ),
    Guard(
        "an entry that cannot be read can be given up", OUTBOX,
        "unreadable.iter().skip(self.count.saturating_sub(outbox.len())).cloned()",
        "unreadable.iter().cloned()",
        store("outbox::what_cannot_be_read_stays_as_it_is_while_what_was_before_it_is_forgotten"),
    ),
    Guard(
        "an entry that cannot be read is parked", PUBLISH,
        ".filter(|it| !it.item.unreadable.is_empty())",
        ".filter(|_| false)",
        e2e(
            "events_api::"
            "what_cannot_be_read_is_listed_and_parked_and_holds_up_nobody_but_its_own_item"
        ),
    ),
    Guard(
        "a trim that found another outbox says so", OUTBOX,
        "Some(StoreError::Stale) => forgotten[it] = false,",
        "Some(StoreError::Stale) => {}",
        aws(
            "outbox::tests::"
            "a_throttled_trim_is_tried_again_alone_and_each_item_has_an_answer_of_its_own"
        ),
    ),
    Guard(
        "a trim without an answer is no success", OUTBOX,
        "if answers.len() != left.len() {",
        "if false {",
        aws("outbox::tests::a_trim_that_fails_is_no_success_and_one_that_stays_throttled_is_busy"),
    ),
    Guard(
        "only what the bus took is forgotten", PUBLISH,
        "told.push(Told { read: image, count: outcome.told });",
        "told.push(Told { read: image, count: image.outbox.len() });",
        e2e("failures::what_the_bus_refuses_for_a_while_is_published_later_in_order"),
    ),
    Guard(
        "an old batch of the stream is not believed", RELAY_EVENTS,
        "now.since(oldest) >= YOUNG || now.since(trouble) < YOUNG",
        "now.since(trouble) < YOUNG",
        relay("relay_events::tests::only_a_batch_that_may_have_come_before_is_looked_up"),
    ),
    Guard(
        "a batch that comes soon after a failure is not believed", RELAY_EVENTS,
        "now.since(oldest) >= YOUNG || now.since(trouble) < YOUNG",
        "now.since(oldest) >= YOUNG",
        relay("relay_events::tests::only_a_batch_that_may_have_come_before_is_looked_up"),
    ),
    Guard(
        "each part of a sweep has shards of its own", "functions/relay/src/sweep_outbox.rs",
        "Ok(all.skip(part).step_by(of).collect())",
        "Ok(all.step_by(of).collect())",
        relay(
            "sweep_outbox::tests::"
            "parts_have_every_shard_once_and_each_has_its_share_of_every_table"
        ),
    ),
    Guard(
        "a parked event is tried once an hour", "shared/aws/src/relay.rs",
        "FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)",
        "FIRST_PAUSE.saturating_mul(doubled)",
        aws("relay::tests::a_parked_event_is_tried_ever_more_seldom_but_once_an_hour"),
    ),
    Guard(
        "only an event that is parked is given up", "shared/aws/src/relay.rs",
        '"attribute_exists(parked) OR attribute_exists(discarded)"',
        '"attribute_exists(pk)"',
        store("relay::only_a_parked_event_is_discarded_once_and_who_and_why_stays"),
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
        "another body under one key is another request", IDEMPOTENCY,
        "hex::encode(Sha256::digest(body))",
        "hex::encode(Sha256::digest(&body[..0]))",
        lambda_("idempotency::tests::another_body_is_another_request"),
    ),
    Guard(
        "another request under one key is refused", IDEMPOTENCY,
        "Once::Before(first) if first.request_hash != self.hash => Err(reused()),",
        "Once::Before(first) if first.request_hash.is_empty() => Err(reused()),",
        lambda_(
            "idempotency::tests::"
            "the_first_answer_is_given_again_and_to_another_request_it_is_refused"
        ),
    ),
    Guard(
        "a key is its caller's", IDEMPOTENCY,
        'format!("{}:{caller}{name}", caller.len())',
        'format!("{}:{name}", caller.len())',
        lambda_("idempotency::tests::a_key_is_its_callers_alone"),
    ),
    Guard(
        "two changes that are alike may be two", IDEMPOTENCY,
        "conditions.one_version().filter(|_| same_again)",
        "conditions.one_version().filter(|_| true)",
        lambda_(
            "idempotency::tests::without_a_key_only_a_change_that_is_the_same_twice"
            "_and_names_one_version_is_known_again"
        ),
    ),
    Guard(
        "a kept answer is looked for before anything is decided", ONCE,
        "if let Some(kept) = self.item(&kept_key).await? {",
        "if let Some(kept) = self.item(&kept_key).await?.filter(|_| false) {",
        store(
            "inventory::a_request_changes_stock_once"
            "_whatever_others_change_between_its_write_and_its_repetition"
        ),
    ),
    Guard(
        "the first answer is kept", ONCE,
        '.condition_expression("attribute_not_exists(pk)")',
        "",
        store(
            "inventory::"
            "a_request_that_changes_nothing_has_one_answer_however_often_it_comes_at_once"
        ),
    ),
    Guard(
        "a repetition is told from the first request", ONCE,
        "let again = kept.by != by;",
        "let again = false;",
        store(
            "inventory::a_request_changes_stock_once"
            "_whatever_others_change_between_its_write_and_its_repetition"
        ),
    ),
    Guard(
        "another order under one key is refused", CREATE_ORDER,
        "if first.request_hash != request_hash {",
        "if false {",
        orders(
            "create_order::tests::"
            "a_key_that_comes_again_is_answered_as_it_was_and_for_another_order_it_is_refused"
        ),
    ),
    Guard(
        "who asks for an order again is told how it was placed", CREATE_ORDER,
        "idempotency::replayed(created(first.as_placed())?)",
        "idempotency::replayed(created(first)?)",
        orders(
            "create_order::tests::"
            "a_key_that_comes_again_is_answered_as_it_was_and_for_another_order_it_is_refused"
        ),
    ),
    Guard(
        "a key of an order is its caller's", CREATE_ORDER,
        "OrderId::for_idempotency_key(&principal(&call.caller), key)",
        'OrderId::for_idempotency_key("", key)',
        e2e("repetition::an_idempotency_key_is_the_callers_own"),
    ),
    Guard(
        "no subject has the keys of reservations", CREATE_ORDER,
        "Role::Customer if caller.subject.as_str().contains('/') =>",
        "Role::Customer if false =>",
        orders("create_order::tests::no_two_subjects_share_a_key_and_none_has_one_of_reservations"),
    ),
    Guard(
        "the keys of operators and services are their own", CREATE_ORDER,
        'Role::Operator | Role::Service => idempotency::scope(caller, "orders").into(),',
        "Role::Operator | Role::Service => caller.subject.as_str().into(),",
        orders(
            "create_order::tests::"
            "callers_of_another_kind_have_other_keys_also_with_the_same_subject"
        ),
    ),
    Guard(
        "a caller's kind is part of whose key it is", IDEMPOTENCY,
        'format!("{}/{what}/{}", caller.role.name(), caller.subject)',
        'format!("{}/{what}/{}", "", caller.subject)',
        lambda_(
            "idempotency::tests::"
            "callers_of_another_kind_have_other_keys_also_with_the_same_subject"
        ),
    ),
    Guard(
        "a hold is the caller's whose key it was", "functions/inventory/src/create_reservation.rs",
        '&idempotency::scope(caller, "reservations")',
        '"reservations"',
        inventory(
            "create_reservation::tests::"
            "an_operator_and_a_service_with_the_same_subject_hold_for_themselves_under_one_key"
        ),
    ),
    Guard(
        "where a subject ends and a key begins makes a difference", "shared/domain/src/id.rs",
        'format!("{}:{principal}{key}", principal.len())',
        'format!("{principal}{key}")',
        domain("id::tests::a_key_names_one_order_per_caller"),
    ),
    Guard(
        "another reservation under one key is refused",
        "functions/inventory/src/create_reservation.rs",
        "if reservation.request_hash != wanted.request_hash {",
        "if false {",
        e2e("reservations::one_idempotency_key_holds_once_and_is_not_the_key_of_an_order"),
    ),
    Guard(
        "a change of a version is answered again", "functions/orders/src/change.rs",
        "return conditions.versions().find_map(made_of).map(Write::Nothing).ok_or(changed);",
        "return Err(changed);",
        e2e(
            "once::"
            "whoever_made_a_change_of_a_version_of_an_order_is_answered_so_again_and_nobody_else"
        ),
    ),
    Guard(
        "a change is answered again to who made it", ORDER,
        "(same && entry.actor.as_ref() == Some(actor)).then_some(then)",
        "same.then_some(then)",
        domain(
            "order::tests::who_made_a_change_of_a_version"
            "_is_shown_what_was_made_of_it_and_nobody_else_is"
        ),
    ),
    Guard(
        "an event that is being told is told by nobody else", NOTICES,
        "AND (attribute_not_exists(turn_of) OR",
        "AND (attribute_exists(pk) OR attribute_not_exists(turn_of) OR",
        store("inventory::one_at_a_time_tells_of_an_event_and_nobody_once_it_was_told"),
    ),
    Guard(
        "an event that was told is not told again", NOTICES,
        '"attribute_not_exists(told_at) \\',
        '"attribute_not_exists(nothing) \\',
        store("inventory::one_at_a_time_tells_of_an_event_and_nobody_once_it_was_told"),
    ),
    Guard(
        "a subscriber hears of an event once", "functions/inventory/src/notify_low_stock.rs",
        "Turn::Told => return Ok(()),",
        "Turn::Told => {}",
        e2e(
            "stock::a_change_of_price_that_makes_a_product_low_says_both"
            "_and_a_subscriber_hears_of_it_once"
        ),
    ),
    # Conditions of requests.
    Guard(
        "a weak tag matches nothing", PRECONDITIONS,
        "let same = |tag: &Tag| !tag.weak && Some",
        "let same = |tag: &Tag| Some",
        lambda_(
            "preconditions::tests::"
            "a_change_is_made_to_a_version_that_was_asked_for_and_to_no_other"
        ),
    ),
    Guard(
        "If-None-Match of all rules every version out", PRECONDITIONS,
        "None => false,\n            Some(Tags::Any) => true,",
        "None | Some(Tags::Any) => false,",
        lambda_("preconditions::tests::a_change_is_not_made_to_a_version_that_is_ruled_out"),
    ),
    Guard(
        "If-Match holds for who reads as well", PRECONDITIONS,
        "if !asked.is_match(current) {",
        "if false {",
        lambda_(
            "preconditions::tests::"
            "what_the_caller_has_is_not_sent_again_and_what_is_not_as_asked_for_is_a_412"
        ),
    ),
    Guard(
        "a condition that nothing can be compared with is refused", PRECONDITIONS,
        "if is_read(request.method()) {",
        "if true {",
        lambda_(
            "http::tests::"
            "conditions_of_a_change_without_a_version_are_refused_and_not_passed_over"
        ),
    ),
    # What others stored.
    Guard(
        "what a newer version stored is never taken for broken", STORED,
        "if stored > known {",
        "if false {",
        aws(
            "stored::tests::"
            "what_a_newer_version_wrote_is_read_as_far_as_it_can_be_and_never_taken_for_broken"
        ),
    ),
    Guard(
        "what is broken is not taken for newer", STORED,
        "if stored > known {",
        "if stored >= known {",
        aws("stored::tests::what_no_version_can_have_written_pages_someone"),
    ),
    Guard(
        "what cannot be read is named", STORED,
        "self.0.push(key);",
        "drop(key);",
        aws(
            "stored::tests::"
            "one_item_that_cannot_be_read_is_named_and_keeps_no_other_from_being_read"
        ),
    ),
    Guard(
        "a change does not lower the schema", AGGREGATE,
        "stored::schema(read.schema().max(T::SCHEMA))",
        "stored::schema(T::SCHEMA)",
        store(
            "newer_versions::an_order_of_a_newer_version_goes_its_way"
            "_and_keeps_what_this_version_does_not_know"
        ),
    ),
    Guard(
        "a list that grows keeps what a newer version has put into it", AGGREGATE,
        "} else if let Some(items) = appended(was.as_ref(), &value) {",
        "} else if let Some(items) = None {",
        store(
            "newer_versions::an_order_of_a_newer_version_goes_its_way"
            "_and_keeps_what_this_version_does_not_know"
        ),
    ),
    Guard(
        "a product of a newer version is left to it", "shared/aws/src/catalogue.rs",
        "(attribute_not_exists(#schema) OR #schema <= :schema)",
        "(attribute_exists(pk) OR #schema <= :schema)",
        store("newer_versions::a_product_that_a_newer_version_keeps_is_left_to_it"),
    ),
    Guard(
        "a word of the provider's that is not known decides nothing",
        "functions/payments/src/receive_webhook.rs",
        "        ))\n        .ok()",
        "        ))\n        .or(Ok::<_, NoSuchWord>(Charge::Paid))\n        .ok()",
        payments(
            "receive_webhook::tests::"
            "a_field_more_is_passed_over_and_a_word_that_is_new_is_no_refusal"
        ),
    ),
    Guard(
        "an input of another version decides nothing", TASK,
        "Err(error) => Err(TaskError::unreadable(error)),",
        "Err(error) => Err(TaskError::broken(error)),",
        lambda_("task::tests::an_input_that_cannot_be_read_decides_nothing"),
    ),
    Guard(
        "a busy store decides nothing", TASK,
        "StoreError::Stale | StoreError::Busy(_) => Self::busy(error),",
        "StoreError::Stale | StoreError::Busy(_) => Self::broken(error),",
        lambda_(
            "task::tests::"
            "a_store_that_is_busy_decides_nothing_and_one_that_makes_no_sense_is_looked_at"
        ),
    ),
    # Events of topics and queues.
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
        "an order that another run confirmed is not undone", SAGA,
        '"Default": "Done"',
        '"Default": "RefundPayment"',
        consistency(
            "nothing_is_undone_before_the_order_is_locked"
            "_and_an_order_ends_only_when_all_is_undone"
        ),
    ),
    Guard(
        "past the deadline the payment is looked at first", SAGA,
        '"Next": "LookAtPayment"',
        '"Next": "ReserveInventory"',
        orders(
            "abandon_order::tests::"
            "past_the_deadline_the_payment_is_looked_at_before_anything_is_reserved"
        ),
    ),
    Guard(
        "a run is told that the payment is overdue", RUN,
        "overdue: order.is_overdue(now),",
        "overdue: false,",
        orders(
            "saga::tests::"
            "a_run_is_told_when_the_payment_is_overdue_and_when_the_order_was_tried_for_long"
        ),
    ),
    Guard(
        "a broken step gives an order up when it was tried for long", RUN,
        "last_try: order.may_fail(now),",
        "last_try: order.is_overdue(now),",
        orders(
            "saga::tests::"
            "a_run_is_told_when_the_payment_is_overdue_and_when_the_order_was_tried_for_long"
        ),
    ),
    Guard(
        "a broken step does not give an order up at once", SAGA,
        '"Default": "NeedsAttention"',
        '"Default": "AbandonOrder"',
        orders(
            "abandon_order::tests::"
            "what_somebody_has_to_look_at_gives_an_order_up_only_when_it_was_tried_for_long"
        ),
    ),
    Guard(
        "a busy step gives no order up", SAGA,
        '''"Next": "LeaveToRecovery"
        }
      ],
      "Next": "ConfirmOrder"''',
        '''"Next": "AbandonOrder"
        }
      ],
      "Next": "ConfirmOrder"''',
        orders(
            "abandon_order::tests::"
            "every_step_forward_leaves_whatever_else_goes_wrong_to_the_recovery"
        ),
    ),
    Guard(
        "trouble is no reason to give an order up", "functions/orders/src/abandon_order.rs",
        "_ => None,",
        "_ => Some(Reason::Failure),",
        orders(
            "abandon_order::tests::"
            "every_step_forward_leaves_whatever_else_goes_wrong_to_the_recovery"
        ),
    ),
    Guard(
        "only what was done for an order that was given up is undone", RUN,
        "given_up: order.status.direction() == Some(Direction::Back),",
        "given_up: order.status.direction() != Some(Direction::Forward),",
        orders("saga::tests::what_was_done_for_an_order_is_undone_only_when_it_was_given_up"),
    ),
    Guard(
        "a payment that came meanwhile is not given up", PAYMENTS,
        "if !matches!(payment.state, PaymentState::Charging | PaymentState::Awaiting) {",
        "if false {",
        store(
            "payments::"
            "what_was_paid_meanwhile_is_not_given_up_with_charges_that_have_no_outcome"
        ),
    ),
    Guard(
        "what a provider opens again is in doubt again", PAYMENT,
        "Fact::ProviderPending => Some(self.undecided_since.unwrap_or(at)),",
        "Fact::ProviderPending => self.undecided_since,",
        domain("payment::tests::a_void_is_due_until_the_provider_has_decided_it_and_tells_nobody"),
    ),
    Guard(
        "a void that is not decided is not over", "functions/payments/src/refund_payment.rs",
        "Void::Undecided => payment = record(Fact::ProviderPending).await?,",
        "Void::Undecided => payment = record(Fact::ProviderDeclined).await?,",
        e2e("journeys::money_that_is_taken_late_comes_back_though_nobody_ever_tells_of_it"),
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
    # Looking after what is due.
    Guard(
        "what cannot be put off is not helped", RECOVERY,
        "agenda.postpone(due, again).await.map_err(Failure::NotPostponed)?;",
        "agenda.postpone(due, again).await.unwrap_or(true);",
        lambda_("recovery::tests::items_that_cannot_be_put_off_keep_no_other_from_its_turn"),
    ),
    Guard(
        "what cannot be found is put off", RECOVERY,
        '''    let mine = agenda.postpone(due, again).await.map_err(Failure::NotPostponed)?;
    let id = due.id().map_err(Failure::NoId)?;''',
        '''    let id = due.id().map_err(Failure::NoId)?;
    let mine = agenda.postpone(due, again).await.map_err(Failure::NotPostponed)?;''',
        lambda_("recovery::tests::a_key_without_an_id_is_put_off_and_keeps_no_other_from_its_turn"),
    ),
    Guard(
        "a turn ends, whatever hangs", RECOVERY,
        "match timeout(longest_turn, turn).await {",
        "match timeout(longest_turn * 36_000, turn).await {",
        lambda_("recovery::tests::an_item_that_fails_panics_or_hangs_ends_its_own_turn_alone"),
    ),
    Guard(
        "a page that cannot be read ends no sweep", "functions/relay/src/sweep_outbox.rs",
        "lock(&self.swept).failed += count;",
        "return Err(error);",
        sweeper("a_shard_and_a_page_that_cannot_be_read_keep_no_other_waiting"),
    ),
    Guard(
        "a function has so many requests under way and no more", "shared/http/src/lib.rs",
        "turns: Arc::new(Semaphore::new(AT_ONCE))",
        "turns: Arc::new(Semaphore::new(10 * AT_ONCE))",
        Test("trackops-http", "lib", "tests::however_many_requests_there_are_only_so_many_connections_are_open_and_all_are_answered"),
    ),
    Guard(
        "an item that makes us panic ends its own turn alone", RECOVERY,
        "AssertUnwindSafe(turn(agenda, &help, &due)).catch_unwind();",
        "turn(agenda, &help, &due).map(Ok::<_, Box<dyn Any + Send>>);",
        lambda_("recovery::tests::an_item_that_fails_panics_or_hangs_ends_its_own_turn_alone"),
    ),
    Guard(
        "an item that hangs is no success", RECOVERY,
        "Err(_) => Err(Failure::Hangs),",
        "Err(_) => Ok(Helped::Done),",
        lambda_("recovery::tests::an_item_that_fails_panics_or_hangs_ends_its_own_turn_alone"),
    ),
    Guard(
        "what waits for somebody else is asked for again when it says", RECOVERY,
        "&& longer > AGAIN_AFTER",
        "&& longer < AGAIN_AFTER",
        lambda_(
            "recovery::tests::"
            "what_waits_for_somebody_else_is_asked_for_again_when_it_says_and_rings_no_alarm"
        ),
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
        "claims.iss != self.issuer ||",
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
        "validation.leeway = LEEWAY.into();",
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
        "a token was issued already", IDENTITY,
        "issued <= newest &&",
        "",
        lambda_("identity::tests::a_token_that_is_not_for_us_or_not_valid_now_is_refused"),
    ),
    Guard(
        "a token is good for a day at most", IDENTITY,
        "&& self.exp.seconds().saturating_sub(issued) <= i64::from(max)",
        "&& i64::from(max) > 0",
        lambda_("identity::tests::a_token_that_is_good_for_longer_than_a_day_is_refused"),
    ),
    Guard(
        "a token without iat is good for a day from now at most", IDENTITY,
        "self.iat.map_or(newest, NumericDate::seconds)",
        "match self.iat { Some(iat) => iat.seconds(), None => return true }",
        lambda_("identity::tests::a_token_that_is_good_for_longer_than_a_day_is_refused"),
    ),
    Guard(
        "a token has no critical extension", IDENTITY,
        "let has_no_extension = header.crit.is_none();",
        "let has_no_extension = true;",
        lambda_("identity::tests::a_token_with_an_extension_that_it_calls_critical_is_refused"),
    ),
    Guard(
        "a token's claims are encoded", IDENTITY,
        "is_none_or(|b64| *b64 == true)",
        "is_none_or(|_| true)",
        lambda_("identity::tests::a_token_with_an_extension_that_it_calls_critical_is_refused"),
    ),
    Guard(
        "a token of another type gives no access", IDENTITY,
        "header.typ.as_deref().is_none_or(is_typed)",
        "header.typ.as_deref().is_none_or(|typ| is_typed(typ) || true)",
        lambda_("identity::tests::a_token_of_another_type_is_not_one_for_access"),
    ),
    Guard(
        "a key that is for something else verifies nothing", KEYS,
        "is_none_or(|key| key.contains(&KeyOperations::Verify))",
        "is_none_or(|key| !key.contains(&KeyOperations::DeriveKey))",
        lambda_("identity::keys::tests::only_keys_that_sign_rs256_or_es256_are_used"),
    ),
    Guard(
        "keys that nobody has are not asked for each time",
        KEYS,
        "waited_at.is_some_and(|at| now.saturating_duration_since(at) < FETCH_EVERY)",
        "waited_at.is_some_and(|at| at > now)",
        lambda_("identity::keys::tests::made_up_keys_are_asked_for_at_a_bounded_rate"),
    ),
    Guard(
        "a withdrawn key ends", KEYS,
        "(self.keys, self.fetched_at) = (keys, Some(asked_at));",
        "self.keys.extend(keys);\n        self.fetched_at = Some(asked_at);",
        lambda_(
            "identity::keys::tests::"
            "a_key_that_the_issuer_withdraws_ends_and_no_request_waits_for_that"
        ),
    ),
    Guard(
        "keys are fetched again while all tokens name known ones", KEYS,
        "self.fetched_at.is_none() || self.age(now) >= REFRESH_AFTER;",
        "self.fetched_at.is_none();",
        lambda_(
            "identity::keys::tests::"
            "a_key_that_the_issuer_withdraws_ends_and_no_request_waits_for_that"
        ),
    ),
    Guard(
        "the deployment's keys are fetched again with the first request", KEYS,
        "self.fetched_at.is_none() || self.age(now) >= REFRESH_AFTER;",
        "self.age(now) >= REFRESH_AFTER;",
        lambda_(
            "identity::keys::tests::"
            "a_deployments_key_that_was_withdrawn_before_ends_with_the_first_answer"
        ),
    ),
    Guard(
        "an issuer that fails is not asked by every request", KEYS,
        "is_old && !self.refresh.as_ref().is_some_and(begun)",
        "is_old || self.refresh.as_ref().is_some_and(begun)",
        lambda_(
            "identity::keys::tests::"
            "an_issuer_that_fails_leaves_the_known_keys_good_and_is_asked_at_a_bounded_rate"
        ),
    ),
    Guard(
        "keys that are too old are not trusted", KEYS,
        "key.is_some() && age <= MAX_AGE",
        "key.is_some() && age <= Duration::MAX",
        lambda_(
            "identity::keys::tests::"
            "after_a_quarter_of_an_hour_no_key_is_trusted_before_the_issuer_was_asked"
        ),
    ),
    Guard(
        "an old answer does not replace a newer one", KEYS,
        "self.fetched_at.is_some_and(|newest| asked_at < newest)",
        "self.fetched_at.is_some_and(|_| false)",
        lambda_(
            "identity::keys::tests::"
            "an_answer_that_comes_late_does_not_bring_a_withdrawn_key_back"
        ),
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
        "a card number is refused", CREATE_ORDER,
        "payment_method.as_deref().is_some_and(has_card_number)",
        "payment_method.as_deref().is_some_and(str::is_empty)",
        orders("create_order::tests::a_card_number_is_refused_without_being_repeated"),
    ),
    Guard(
        "a card number is found among other numbers", CARD,
        "(first..groups.len()).any(|last| is_card(&groups[first..=last]));",
        "is_card(&groups[first..]);",
        domain("card::tests::a_card_number_is_found_among_other_things"),
    ),
    Guard(
        "a number without its check digit is no card number", CARD,
        "DIGITS.contains(&digits.len()) && passes_luhn(&digits)",
        "DIGITS.contains(&digits.len())",
        domain("card::tests::what_is_no_card_number_is_none"),
    ),
    Guard(
        "a UUID is no card number", CARD,
        "words.iter().map(|word| word.len()).eq(UUID) &&",
        "words.is_empty() &&",
        domain("card::tests::what_is_no_card_number_is_none"),
    ),
    Guard(
        "customers order for themselves", CREATE_ORDER,
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
        "a body has 64 KiB at most", HTTP,
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
    Guard(
        "no product has an id that means a folder above", "shared/domain/src/id.rs",
        '"." | ".." => Err(BadId::DotSegment),',
        '"." => Err(BadId::DotSegment),',
        domain(
            "id::tests::no_new_product_has_an_id_that_a_url_cannot_end_in"
            "_and_one_that_has_it_stays_readable"
        ),
    ),
    Guard(
        "what is new is in a currency in use", MONEY,
        "match IN_USE.split(' ').any(|known| known == code) {",
        "match Self::from_code(code).is_ok() {",
        domain("money::tests::what_is_new_is_in_a_currency_in_use_and_what_is_old_stays_readable"),
    ),
    Guard(
        "an order is in a currency in use", CREATE_ORDER,
        'body.required("currency", parsed(Currency::in_use))',
        'body.required("currency", parsed(Currency::from_code))',
        orders("create_order::tests::an_order_is_in_a_currency_in_use"),
    ),
    Guard(
        "a trace has a name", HTTP,
        "\n            && [trace, parent].into_iter().all(names))",
        ")",
        lambda_("http::tests::only_a_sane_correlation_id_and_a_traceparent_are_carried_on"),
    ),
    Guard(
        "of two traces none is carried on", HTTP,
        "text(&TRACEPARENT).filter(|_| is_single)",
        "text(&TRACEPARENT)",
        lambda_("http::tests::only_a_sane_correlation_id_and_a_traceparent_are_carried_on"),
    ),
    Guard(
        "HEAD gets no body", HTTP,
        "*response.body_mut() = Body::Empty;",
        "",
        lambda_("http::tests::head_gets_the_headers_of_get_and_no_body_also_of_a_problem"),
    ),
    Guard(
        "an answer is not kept by anybody", HTTP,
        'headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));',
        "",
        lambda_("http::tests::an_answer_is_not_kept_unless_it_says_so"),
    ),
    Guard(
        "a new product can be ordered within seconds", RECENT,
        "is_fresh(at, now, UNKNOWN_FOR)",
        "is_fresh(at, now, KEPT_FOR)",
        orders(
            "recent::tests::"
            "what_does_not_exist_is_looked_up_once_in_two_seconds_whoever_asks_for_it"
        ),
    ),
    Guard(
        "a price is not kept for longer when the clock is set back", RECENT,
        "at <= now && now.since(at) < kept_for",
        "now.since(at) < kept_for",
        orders("recent::tests::a_clock_that_is_set_back_does_not_make_a_product_last_longer"),
    ),
    Guard(
        "who asks for the price of now is not told an older one", RECENT,
        ".filter(|sku| !self.lacks(sku, now))",
        ".filter(|sku| !self.lacks(sku, now) && self.get(sku, now).is_none())",
        orders("recent::tests::who_asks_how_a_product_is_now_is_not_told_how_it_was"),
    ),
    # A developer's machine.
    Guard(
        "a name that a page made to lead here is not taken", LAUNCHER_GUARD,
        'name.ends_with(".localhost")',
        'name.ends_with("localhost") || name.ends_with(".example")',
        local("guard::tests::the_headers_of_pages_are_told_from_those_of_programs"),
    ),
    Guard(
        "a page of another origin is not answered", LAUNCHER_GUARD,
        '*origin != format!("http://{host}")',
        'origin.is_empty()',
        local("guard::tests::the_headers_of_pages_are_told_from_those_of_programs"),
    ),
    Guard(
        "a page of another port is not answered", LAUNCHER_GUARD,
        '["none", "same-origin"]',
        '["none", "same-origin", "same-site"]',
        local("guard::tests::the_headers_of_pages_are_told_from_those_of_programs"),
    ),
    Guard(
        "the runner's ports ask before they answer", "localstack/src/proxy.rs",
        "guard::check(request.headers(), &may_call).map(|()| handler(request))",
        "guard::check(&HeaderMap::new(), &may_call).or(Ok(())).map(|()| handler(request))",
        local("proxy::tests::a_port_of_the_runner_answers_programs_and_refuses_pages_of_other_origins"),
    ),
    Guard(
        "what a log says does not steer the terminal", LAUNCHER_OUTPUT,
        '|| !character.is_control() &&',
        '|| !character.is_ascii_control() &&',
        local("output::tests::what_a_terminal_obeys_is_shown_and_not_done"),
    ),
    # The template.
    Guard(
        "where there is GET there is HEAD", TEMPLATE,
        "Path: /api/orders/{id}/timeline\n            Method: HEAD",
        "Path: /api/orders/{id}/timeline\n            Method: POST",
        consistency(
            "where_there_is_get_there_is_head_by_the_same_function_and_with_the_same_limit"
        ),
    ),
    Guard(
        "a recovery does not run beside itself", TEMPLATE,
        '''-recover-sagas
      # The run of the next minute is the retry: two runs must not overlap, and a missed run is not repeated.
      ReservedConcurrentExecutions: !If [ReserveConcurrency, 1,''',
        '''-recover-sagas
      # The run of the next minute is the retry: two runs must not overlap, and a missed run is not repeated.
      ReservedConcurrentExecutions: !If [ReserveConcurrency, 2,''',
        consistency(
            "what_keeps_the_promises_has_concurrency_of_its_own"
            "_and_what_anyone_may_call_a_maximum"
        ),
    ),
    Guard(
        "a queue gives its consumer no more than it can take", TEMPLATE,
        '''EventSourceArn: !GetAtt ProjectCatalogueQueue.Arn
      BatchSize: 10
      ScalingConfig: {MaximumConcurrency: !Ref ConsumerConcurrency}''',
        '''EventSourceArn: !GetAtt ProjectCatalogueQueue.Arn
      BatchSize: 10
      ScalingConfig: {MaximumConcurrency: !Ref StepConcurrency}''',
        consistency(
            "what_keeps_the_promises_has_concurrency_of_its_own"
            "_and_what_anyone_may_call_a_maximum"
        ),
    ),
    Guard(
        "a consumer takes the same events from either bus", TEMPLATE,
        "detail-type: [inventory.reservation.failed, inventory.released]",
        "detail-type: [inventory.reservation.failed]",
        consistency("a_consumer_takes_the_same_events_from_either_bus"),
    ),
    Guard(
        "functions get the bytes that were sent", TEMPLATE,
        'BinaryMediaTypes: ["*~1*"]',
        'BinaryMediaTypes: ["image~1png"]',
        e2e("endpoints::a_body_is_read_as_the_bytes_that_were_sent"),
    ),
]
