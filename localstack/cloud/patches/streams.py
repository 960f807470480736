"""Event source mappings of DynamoDB streams."""

import copy
import json
import logging
import threading
import time

from ministack.core.arn import parse_arn
from ministack.services import dynamodb, lambda_svc

logger = logging.getLogger("patches.streams")

# Between two attempts at a failing batch, doubling up to the longest.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5

_mappings = {}


def apply():
    deliver_streams_as_aws_does()
    forget_positions_of_lost_streams()
    tell_streams_of_statements()


def deliver_streams_as_aws_does():
    """AWS delivers each stream on its own, and a failed record again until it is out of attempts.

    ministack delivers all streams and starts all queue batches from one thread, so one slow
    function holds up the rest. It takes a batch whose function reports failed records
    (`ReportBatchItemFailures`) for done, which loses those records, and ignores
    `MaximumRetryAttempts` and `BisectBatchOnFunctionError`.
    """
    lambda_svc._poll_dynamodb_streams = wake_mappings
    # The poller's pause after a wake-up that brings the queues nothing, as a write to a table.
    lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = 0.005


def forget_positions_of_lost_streams():
    """On AWS a mapping goes on where it was, because its stream is still there.

    ministack keeps a mapping's position over a restart, but not the stream, which starts again at
    0: the mapping says nothing until as many new records as before have come.
    """
    original = lambda_svc._restore_esm_positions

    def restore(positions, saved):
        original(positions, saved)
        if positions is lambda_svc._dynamodb_stream_positions:
            for key in positions._data:
                positions._data[key] = 0

    lambda_svc._restore_esm_positions = restore


def tell_streams_of_statements():
    """On AWS a stream has every change of an item, whatever made it.

    ministack writes no record for an UPDATE of PartiQL.
    """
    original = dynamodb._partiql_update

    def update(table, parsed, data=None):
        key, sort_key, _, error = dynamodb._partiql_key_target(table, parsed)
        item = lambda: None if error else table["items"].get(key, {}).get(sort_key)
        before = copy.deepcopy(item())
        answer = original(table, parsed, data)
        if answer[0] == 200:
            dynamodb._emit_stream_event(parsed["table"], "MODIFY", before, item())
        return answer

    dynamodb._partiql_update = update


def wake_mappings():
    """Called by ministack's poller whenever there may be something to deliver, and every second."""
    present = set()
    for account, region, mapping in lambda_svc._iter_all_esms():
        if ":dynamodb:" not in mapping.get("EventSourceArn", ""):
            continue
        present.add(mapping["UUID"])
        if mapping["UUID"] not in _mappings:
            _mappings[mapping["UUID"]] = StreamMapping(account, region, mapping["UUID"])
        _mappings[mapping["UUID"]].wake()
    for deleted in _mappings.keys() - present:
        _mappings.pop(deleted).end()
    return False


class StreamMapping:
    """Delivers one table's stream to one function, in order, one batch at a time."""

    def __init__(self, account, region, uuid):
        self.account, self.region, self.uuid = account, region, uuid
        self.ended = False
        self.batch_limit = None  # smaller than BatchSize while a failing batch is bisected
        self.failing_at = None  # position of the record that fails
        self.failures = 0  # attempts at it that failed
        self.work = threading.Event()
        threading.Thread(target=self.run, daemon=True, name=f"stream-{uuid}").start()

    def wake(self):
        self.work.set()

    def end(self):
        self.ended = True
        self.work.set()

    def run(self):
        lambda_svc._request_account_id.set(self.account)
        lambda_svc._request_region.set(self.region)
        while True:
            self.work.wait()
            self.work.clear()
            try:
                while not self.ended and self.deliver():
                    pass
            except Exception:
                logger.exception("stream mapping %s", self.uuid)
            if self.ended:
                return

    def deliver(self):
        """Delivers one batch; False when there is none."""
        mapping = lambda_svc._esms.get(self.uuid)
        if not mapping or not mapping.get("Enabled", True):
            return False
        function, _ = lambda_svc._get_func_record_for_qualifier(
            mapping["FunctionName"], mapping.get("Qualifier")
        )
        stream = mapping["EventSourceArn"]
        table, _ = lambda_svc._dynamodb_stream_table_from_arn_spec(parse_arn(stream))
        if function is None or (dynamodb._tables.get(table) or {}).get("LatestStreamArn") != stream:
            return False

        position = self.position(mapping, table)
        size = int(mapping.get("BatchSize") or 100)
        batch = dynamodb.stream_records_since(table, position, min(size, self.batch_limit or size))
        if not batch:
            return False
        records = lambda_svc._apply_filter_criteria(batch, mapping)
        result = lambda_svc._execute_function(function, {"Records": records}) if records else {}
        failed = first_failed(result, batch, mapping)
        if failed is None:
            self.move_to(position + len(batch))
            self.batch_limit = min(size, (self.batch_limit or size) * 2)
            mapping["LastProcessingResult"] = "OK"
            return True

        mapping["LastProcessingResult"] = "FAILED"
        logger.warning("%s failed on a batch of %s: %s", mapping["FunctionName"], table, result)
        bisect = mapping.get("BisectBatchOnFunctionError")
        if bisect and result.get("error") and len(batch) > 1:
            self.batch_limit = (len(batch) + 1) // 2  # does not count as an attempt
            return True
        self.move_to(position + failed)
        given_up = self.reason_to_give_up(mapping, position + failed, batch[failed])
        if given_up:
            dropped = batch[failed : failed + 1] if bisect else batch[failed:]
            lambda_svc._send_ddb_stream_failure_record(
                mapping, function, dropped, stream, result, given_up
            )
            self.move_to(position + failed + len(dropped))
        else:
            time.sleep(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1)))
        return True

    def position(self, mapping, table):
        start = dynamodb.stream_start_position(table)
        newest = mapping.get("StartingPosition", "LATEST") != "TRIM_HORIZON"
        with lambda_svc._dynamodb_stream_positions_lock:
            saved = lambda_svc._dynamodb_stream_positions.get(self.uuid)
            if saved is None:
                saved = dynamodb.stream_end_position(table) if newest else start
                lambda_svc._dynamodb_stream_positions[self.uuid] = saved
        return max(start, saved)

    def move_to(self, position):
        with lambda_svc._dynamodb_stream_positions_lock:
            lambda_svc._dynamodb_stream_positions[self.uuid] = position

    def reason_to_give_up(self, mapping, position, record):
        """Counts a failure at this position; the reason if no more attempts are due, else None."""
        if position != self.failing_at:
            self.failing_at, self.failures = position, 0
        self.failures += 1
        attempts = int(mapping.get("MaximumRetryAttempts", -1))
        if 0 <= attempts < self.failures:
            return "RetryAttemptsExhausted"
        age = time.time() - float(record["dynamodb"]["ApproximateCreationDateTime"])
        if 0 < int(mapping.get("MaximumRecordAgeInSeconds") or -1) < age:
            return "MaxRecordAgeExceeded"
        return None


def first_failed(result, batch, mapping):
    """Index of the first record to deliver again, None if all are done.

    The whole batch fails when the function does, and when it names a record that was not in it.
    """
    if result.get("error"):
        return 0
    if "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or []):
        return None
    answer = result.get("body")
    if isinstance(answer, (str, bytes)):
        answer = json.loads(answer or "null")
    failures = (answer or {}).get("batchItemFailures") or []
    numbers = [record["dynamodb"]["SequenceNumber"] for record in batch]
    reported = [failure.get("itemIdentifier") for failure in failures]
    if any(number not in numbers for number in reported):
        return 0
    return min(map(numbers.index, reported), default=None)
