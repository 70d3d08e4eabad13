"""Guards of what operators see, and of what they do to many."""

from tests.mutants.words import mutant as _mutant

BULK = "tests/integration/test_bulk.py::"
CREW = "tests/integration/test_crew.py::"
DOORS = "tests/integration/test_door_resources.py::"
OPERATING = "tests/integration/test_operating.py::"
READS = "tests/integration/test_console_reads.py::"
RECORDS = "tests/integration/test_records.py::"
STANDING = "tests/integration/test_standing.py::"
TRANSFER = "tests/integration/test_factor_transfer.py::"

WATCHING = (
    _mutant(
        "sent-again-into-a-pause",
        "worker/operations/sending.py",
        'after |= {"waits_for_end_of": pause} if pause else {}',
        "pass",
        OPERATING + "test_what_is_sent_again_into_a_pause_says_so",
    ),
    _mutant(
        "order-on-its-way-is-forgotten",
        "worker/operations/crew.py",
        "(_WANTED[ordered] if ordered else found.state)",
        "found.state",
        CREW + "test_an_order_is_taken_once",
    ),
    _mutant(
        "a-group-has-what-is-still-tried",
        "worker/failures.py",
        '{"state": ANY_FAILURE, "error_code": self.code}',
        '{"state": None, "error_code": self.code}',
        READS + "test_a_group_leads_to_its_own_deliveries",
    ),
    _mutant(
        "a-country-hides-behind-another",
        "worker/failures.py",
        "most = MOST_OF_SOME if chosen else MOST",
        "most = MOST",
        RECORDS + "test_a_country_is_found_behind_another",
    ),
    _mutant(
        "an-export-looks-for-ever",
        "worker/records.py",
        "            yield [sheets.line(_cells(record)) for record in page.records]\n",
        "            if page.records:\n"
        "                yield [sheets.line(_cells(record)) for record in page.records]\n",
        RECORDS + "test_an_export_comes_as_it_is_looked_for",
    ),
    _mutant(
        "a-count-has-no-bound",
        "worker/records.py",
        "while cursor is not None and looked_at < COUNTED:",
        "while cursor is not None:",
        BULK + "test_a_count_is_bounded",
    ),
    _mutant(
        "a-job-waits-for-all-before-it",
        "worker/operations/bulk.py",
        ".order_by(_j.updated_at, _j.sid)",
        ".order_by(_j.sid)",
        BULK + "test_jobs_take_turns",
    ),
    _mutant(
        "dead-codes-are-sent-again",
        "worker/operations/bulk.py",
        'Filters(**job["filters"]), job["verb"] in SENDS',
        'Filters(**job["filters"]), False',
        BULK + "test_dead_codes_are_passed_over",
    ),
    _mutant(
        "one-queue-floods-the-look",
        "worker/standing.py",
        "some = [_waiting(held, _d.queue == queue, _d.hinted_at) for queue in DELIVERY_QUEUES]",
        "some = [_waiting(held, true(), _d.hinted_at)]",
        STANDING + "test_a_flood_hides_no_other_queue",
    ),
    _mutant(
        "attempts-are-looked-at-without-end",
        "worker/attempt_looks.py",
        "yield from range(1, LOOKS)",
        "yield from range(1, LOOKS * 100)",
        DOORS + "test_more_attempts_than_one_request_looks_at",
    ),
    _mutant(
        "attempts-take-every-thread",
        "worker/attempt_looks.py",
        "if not self._places.acquire(blocking=False):",
        "if not self._places.acquire(blocking=False) and False:",
        DOORS + "test_few_requests_look_on_at_once",
    ),
    _mutant(
        "secrets-are-taken-out-unseen",
        "worker/factors/transfer.py",
        '            configured(connection, by, "factors.export", service_sid)\n',
        "",
        TRANSFER + "test_what_is_taken_out_comes_in_elsewhere",
    ),
)
