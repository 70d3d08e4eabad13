"""Every guard, taken out: what to change and which tests must then fail."""

from dataclasses import dataclass

DISPATCH = "tests/integration/test_dispatch.py::"
VERIFICATIONS = "tests/integration/test_verifications.py::"
RELAY = "tests/integration/test_relay.py::"
RECEIPTS = "tests/integration/test_receipts.py::"
SENDERS = "tests/integration/test_senders.py::"
GUARDS = "tests/integration/test_guards.py::"
PAUSES = "tests/integration/test_pauses.py::"
BLOCKS = "tests/integration/test_blocks.py::"
BULK = "tests/integration/test_bulk.py::"
DISCARDING = "tests/integration/test_discarding.py::"
SENDER_TESTS = "tests/integration/test_sender_tests.py::"
BUDGETS = "tests/integration/test_budgets.py::"
PEOPLE = "tests/integration/test_people.py::"
OPERATING = "tests/integration/test_operating.py::"
RANGES = "tests/integration/test_range_limits.py::"
CORRECTNESS = "tests/integration/test_correctness.py::"
FACTOR_HOOKS = "tests/integration/test_factor_webhooks.py::"

MODEL = "tests/integration/model/test_model.py::test_any_steps_in_any_order_keep_the_promises"

ROWS = "worker/dispatch/rows.py"
JOB = "worker/dispatch/__init__.py"
CHECK = "worker/verifications/check.py"
MIGRATION = "worker/migrations/versions/0001_services_verifications_deliveries.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """
    :param old: stands exactly once in `file`
    :param tests: node ids, without parameters where all of them count
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _mutant(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, file, old, new, tests)


MUTANTS = (
    # 1. An accepted request ends, whatever dies or forgets.
    _mutant(
        "dead-lease-stays",
        "worker/relay.py",
        "_SENDING, _d.lease_until < then_ms()",
        "_SENDING, _d.lease_until < 0",
        RELAY + "test_a_dead_lease_comes_back_with_a_doubt",
    ),
    _mutant(
        "lost-hint-is-never-missed",
        "worker/relay.py",
        "return now - SLACK\n",
        "return 0\n",
        RELAY + "test_an_emptied_broker_is_filled_again",
    ),
    _mutant(
        "every-hint-counts-as-lost",
        "worker/relay.py",
        '        _d.hinted_at < bindparam("lost_before"),\n',
        "",
        RELAY + "test_a_waiting_message_is_not_doubled",
    ),
    _mutant(
        "hint-behind-a-newer-one-counts-as-waiting",
        "worker/relay.py",
        "max(passed, now - HINT_PATIENCE)",
        "now - HINT_PATIENCE",
        RELAY + "test_a_message_behind_a_newer_one_is_lost",
    ),
    _mutant(
        "overdue-delivery-stays",
        "worker/relay.py",
        "_QUEUED, _d.expires_at <= then_ms()",
        "_QUEUED, _d.expires_at <= 0",
        RELAY + "test_overdue_rows_expire",
    ),
    _mutant(
        "silence-never-ends",
        "worker/relay.py",
        "_d.expires_at < then_ms() - RECEIPT_GRACE",
        "_d.expires_at < 0",
        RELAY + "test_silence_after_acceptance_ends",
    ),
    _mutant(
        "nobody-asks-where-no-receipt-came",
        "worker/relay.py",
        "_d.expires_at >= then_ms() - RECEIPT_GRACE",
        "_d.expires_at < 0",
        RELAY + "test_the_provider_is_asked_where_no_receipt_came",
    ),
    _mutant(
        "known-outcome-is-dropped",
        ROWS,
        "            except UNAVAILABLE:\n                if",
        "            except UNAVAILABLE:\n                if True or",
        DISPATCH + "test_a_known_outcome_survives_a_database_that_was_away",
    ),
    # 2. A request reaches the phone once.
    _mutant(
        "claim-ignores-state",
        ROWS,
        "    _d.state == DeliveryState.QUEUED,\n    _d.next_try_at",
        "    _d.next_try_at",
        DISPATCH + "test_a_job_run_many_times_sends_once",
    ),
    _mutant(
        "claim-ignores-next-try",
        ROWS,
        "    _d.next_try_at <= now_ms(),\n",
        "",
        DISPATCH + "test_refusals_are_final_or_retried_by_kind",
        MODEL,
    ),
    _mutant(
        "claim-ignores-acceptance",
        ROWS,
        "    _d.accepted_at.is_(None),\n)",
        ")",
        GUARDS + "test_what_was_accepted_is_not_claimed",
    ),
    _mutant(
        "outcome-without-fence",
        ROWS,
        '        _d.tries == bindparam("b_tries"),\n        _d.state ==',
        "        _d.state ==",
        GUARDS + "test_a_lost_claim_leaves_the_next_one_alone",
    ),
    _mutant(
        "acceptance-without-fence",
        ROWS,
        '        _d.tries == bindparam("b_tries"),\n        or_(',
        "        or_(",
        GUARDS + "test_a_lost_claim_leaves_the_next_one_alone",
    ),
    _mutant(
        "outcome-ignores-state",
        ROWS,
        "        _d.state == DeliveryState.SENDING,\n",
        "",
        GUARDS + "test_a_refusal_after_a_receipt_changes_nothing",
    ),
    _mutant(
        "late-acceptance-is-lost",
        ROWS,
        "_UNDECIDED = _d.state.in_((DeliveryState.QUEUED, DeliveryState.SENDING))",
        "_UNDECIDED = _d.state.in_((DeliveryState.SENDING,))",
        DISPATCH + "test_acceptance_after_the_lease_was_given_up",
    ),
    _mutant(
        "sent-again-without-a-question",
        JOB,
        'if job["doubts"]:',
        'if job["doubts"] > 1:',
        DISPATCH + "test_accepted_without_an_answer_is_found_not_resent",
        MODEL,
    ),
    _mutant(
        "unknown-is-no-doubt",
        JOB,
        "self._settings.settle_seconds, doubt=1)",
        "self._settings.settle_seconds, doubt=0)",
        DISPATCH + "test_accepted_without_an_answer_is_found_not_resent",
    ),
    _mutant(
        "third-message",
        JOB,
        'if job["doubts"] > 1:',
        'if job["doubts"] > 2:',
        DISPATCH + "test_an_unknown_outcome_is_repeated_once_at_most",
        MODEL,
    ),
    _mutant(
        "lease-comes-back-without-a-doubt",
        "worker/relay.py",
        "        doubts=_d.doubts + 1,\n",
        "",
        RELAY + "test_a_dead_lease_comes_back_with_a_doubt",
        MODEL,
    ),
    _mutant(
        "twin-is-taken-for-ours",
        ROWS,
        '    _d.sid != bindparam("sid"),\n    _d.provider_sid.is_not(None)',
        "    _d.provider_sid.is_(None)",
        DISPATCH + "test_another_deliverys_message_is_not_taken_for_ours",
    ),
    _mutant(
        "another-code-on-a-repeat",
        "worker/dispatch/content.py",
        'job["key_id"], job["salt"], job["code_length"]',
        'job["key_id"], job["salt"] + bytes([job["tries"]]), job["code_length"]',
        DISPATCH + "test_lost_request_is_sent_again_with_the_same_code",
    ),
    _mutant(
        "same-request-is-two",
        "worker/verifications/start.py",
        "        if known := self._answered(account_sid, wanted.request_id, fingerprints):\n",
        "        if known := None:\n",
        GUARDS + "test_a_repeat_is_answered_whatever_became_of_it",
    ),
    _mutant(
        "same-request-is-written-twice",
        "worker/verifications/requests.py",
        "return connection.execute(inserted).first() is not None",
        "return connection.execute(inserted) is not None",
        GUARDS + "test_a_repeat_that_saw_nothing_writes_nothing",
    ),
    _mutant(
        "same-request-runs-twice",
        "worker/limits.py",
        "if hold > 0 and redis.call('EXISTS', running) == 1 then return {-1, 0} end",
        "",
        VERIFICATIONS + "test_a_request_that_is_being_answered_is_not_begun_again",
    ),
    _mutant(
        "doubt-goes-to-another-sender",
        ROWS,
        "        (_d.doubts > 0, _d.sender),\n",
        "",
        SENDERS + "test_a_sender_taken_out_of_the_settings_is_no_blind_resend",
    ),
    _mutant(
        "old-claim-still-sends",
        "worker/dispatch/route.py",
        "if time.monotonic() > write_by:",
        "if False:",
        SENDERS + "test_a_worker_that_slept_hands_nothing_over",
    ),
    _mutant(
        "same-request-with-other-values",
        "worker/verifications/requests.py",
        'if request["fingerprint"] not in fingerprints:',
        "if False:",
        VERIFICATIONS + "test_same_request_id_is_one_verification",
    ),
    _mutant(
        "step-of-a-plan-is-taken-twice",
        MIGRATION,
        '            ["verification_sid", "step"],\n            unique=True',
        '            ["verification_sid", "step"],\n            unique=False',
        DISPATCH + "test_one_call_however_many_texts_fail",
    ),
    # 3. No code after its life, none twice, no guess too many.
    _mutant(
        "claim-ignores-life",
        ROWS,
        "    _d.expires_at > now_ms() + MARGIN,\n    _d.accepted",
        "    _d.accepted",
        DISPATCH + "test_a_dying_code_is_not_claimed",
    ),
    _mutant(
        "no-margin",
        ROWS,
        "MARGIN = 2_000",
        "MARGIN = 0",
        DISPATCH + "test_a_dying_code_is_not_claimed",
    ),
    _mutant(
        "no-last-second",
        "worker/providers/__init__.py",
        "LAST_SECOND = 1.0",
        "LAST_SECOND = -60.0",
        DISPATCH + "test_repeats_end_with_the_codes_life",
    ),
    _mutant(
        "claim-ignores-verification",
        ROWS,
        "        *_CLAIMABLE,\n        exists().where(_v.sid == _d.verification_sid,"
        " _v.status == PENDING),\n",
        "        *_CLAIMABLE,\n",
        DISPATCH + "test_nothing_is_sent_after_the_verification_ended",
    ),
    _mutant(
        "claim-in-one-ignores-verification",
        ROWS,
        "        _v.status == PENDING,\n        _s.sid",
        "        _s.sid",
        DISPATCH + "test_nothing_is_sent_after_the_verification_ended",
    ),
    _mutant(
        "later-than-the-life",
        ROWS,
        "else_=DeliveryState.FAILED.value",
        "else_=DeliveryState.QUEUED.value",
        DISPATCH + "test_no_retry_after_the_codes_life",
    ),
    _mutant(
        "check-ignores-life",
        "worker/statements.py",
        "verifications.c.status == PENDING, verifications.c.expires_at > now_ms()",
        "verifications.c.status == PENDING",
        VERIFICATIONS + "test_code_dies_with_its_life",
        CORRECTNESS + "test_no_door_takes_a_code_after_its_life",
    ),
    _mutant(
        "check-ignores-status",
        "worker/statements.py",
        "verifications.c.status == PENDING, verifications.c.expires_at > now_ms()",
        "verifications.c.expires_at > now_ms()",
        VERIFICATIONS + "test_right_code_approves_once",
        VERIFICATIONS + "test_two_hundred_right_checks_approve_one",
    ),
    _mutant(
        "check-ignores-budget",
        CHECK,
        "        _v.checks < _v.max_checks,\n",
        "",
        GUARDS + "test_no_guess_beyond_the_budget",
    ),
    _mutant(
        "spent-is-not-marked",
        CHECK,
        "            (_v.checks + 1 >= _v.max_checks, SPENT),\n",
        "",
        VERIFICATIONS + "test_right_code_after_five_wrong_is_refused",
        VERIFICATIONS + "test_a_resend_gives_no_new_guesses",
    ),
    _mutant(
        "check-ignores-the-guard",
        CHECK,
        "        ~_GUARD_CLOSED,\n",
        "",
        VERIFICATIONS + "test_hundred_failures_disable_until_enabled",
    ),
    _mutant(
        "start-ignores-the-guard",
        "worker/verifications/admission.py",
        'if row["disabled_at"] is not None:',
        "if False:",
        VERIFICATIONS + "test_hundred_failures_disable_until_enabled",
    ),
    _mutant(
        "guess-is-not-counted",
        CHECK,
        "        checks=_v.checks + 1,\n",
        "",
        VERIFICATIONS + "test_two_hundred_wrong_checks_compare_five",
        CORRECTNESS + "test_a_refused_guess_stays_counted",
    ),
    _mutant(
        "two-live-verifications",
        MIGRATION,
        '            ["service_sid", "number_index"],\n            unique=True',
        '            ["service_sid", "number_index"],\n            unique=False',
        VERIFICATIONS + "test_parallel_starts_make_one_verification",
    ),
    _mutant(
        "digest-is-bound-to-no-row",
        "worker/codes.py",
        "(verification, service, number, code, *bound)",
        "(service, number, code, *bound)",
        "tests/unit/test_codes.py::test_a_digest_binds_every_part",
    ),
    # 4. No code and no number where they do not belong.
    _mutant(
        "code-in-the-log",
        "worker/dispatch/route.py",
        '"attempt.accepted",',
        '"attempt.accepted", said=outgoing.content.replace(" ", "_"),',
        "tests/acceptance/test_canary.py::test_no_code_and_no_number_is_kept_or_said[sqlite]",
    ),
    _mutant(
        "number-is-sealed-for-any-row",
        "worker/codes.py",
        "encrypt(nonce, value.encode(), owner.encode())",
        'encrypt(nonce, value.encode(), b"")',
        "tests/unit/test_codes.py::test_a_sealed_number_opens_for_its_owner_only",
    ),
    # 5. One spelling, limits for all, no callback without a signature.
    _mutant(
        "limit-by-spelling",
        "worker/verifications/start.py",
        "indexes = self._keyring.number_indexes(number.e164)",
        "indexes = self._keyring.number_indexes(wanted.to)",
        VERIFICATIONS + "test_spelling_does_not_change_the_number",
    ),
    _mutant(
        "limits-by-halves",
        "worker/limits.py",
        "if refused > 0 then return {refused, longest} end",
        "if refused > 0 then for i = first, #KEYS do redis.call('RPUSH', KEYS[i], now) end"
        " return {refused, longest} end",
        VERIFICATIONS + "test_a_refused_send_counts_against_no_limit",
    ),
    _mutant(
        "limits-fail-open",
        "worker/limits.py",
        "            raise LimitsUnavailableError(type(error).__name__) from None\n"
        "        outage.over()",
        "            return Lane.USUAL\n        outage.over()",
        VERIFICATIONS + "test_nothing_is_written_without_redis",
    ),
    _mutant(
        "limit-admits-everything",
        "worker/limits.py",
        "if oldest then wait = oldest + window - now end",
        "",
        VERIFICATIONS + "test_six_parallel_sends_admit_five",
        CORRECTNESS + "test_two_processes_share_one_budget",
        RANGES + "test_pumping_one_range_stops_by_itself",
    ),
    _mutant(
        "range-counts-nothing",
        "worker/statements.py",
        "    if settings.limit_range:\n",
        "    if settings.limit_range and not number:\n",
        RANGES + "test_pumping_one_range_stops_by_itself",
    ),
    _mutant(
        "country-counts-nothing",
        "worker/statements.py",
        "if most := settings.most_to(number.country):",
        "if (most := settings.most_to(number.country)) and not number:",
        RANGES + "test_a_country_has_an_end",
    ),
    _mutant(
        "safe-list-passes-no-range",
        "worker/verifications/start.py",
        'if not seen[0]["vouched"]:',
        "if seen:",
        RANGES + "test_a_safe_number_passes_and_is_not_counted",
    ),
    _mutant(
        "any-signature",
        "worker/providers/twilio.py",
        "bool(RequestValidator(auth_token).validate(url, params, signature))",
        "True",
        "tests/unit/test_twilio_errors.py::test_anything_else_is_invalid_and_never_an_exception",
    ),
    _mutant(
        "callback-unsigned",
        "api_stub/callbacks.py",
        "if not valid_signature(",
        "if False and not valid_signature(",
        "tests/acceptance/test_callbacks.py::test_forged_callbacks_change_nothing[sqlite]",
    ),
    _mutant(
        "receipt-twice",
        "worker/receipts.py",
        "statement.on_conflict_do_nothing().returning",
        "statement.returning",
        RECEIPTS + "test_every_order_ends_delivered",
    ),
    _mutant(
        "receipts-move-back",
        "worker/receipts.py",
        "_may_follow(state, before))",
        "_d.state.is_not(None))",
        RECEIPTS + "test_a_final_state_does_not_move_back",
    ),
    _mutant(
        "failure-of-a-twin-counts",
        "worker/receipts.py",
        "return and_(allowed, or_(_d.provider_sid.is_(None), _SAME))",
        "return allowed",
        RECEIPTS + "test_a_strangers_failure_is_not_ours",
    ),
    _mutant(
        "given-up-is-final",
        "worker/receipts.py",
        "undone = or_(_d.error_code == NO_RECEIPT, ~_SAME)",
        "undone = ~_SAME",
        RELAY + "test_silence_after_acceptance_ends",
    ),
    _mutant(
        "stranger-at-the-door",
        "api_stub/auth.py",
        "return right_user and right_password",
        "return True",
        "tests/unit/test_routes.py::test_every_route_but_the_open_ones_refuses_a_stranger",
    ),
    _mutant(
        "any-token-for-a-new-user",
        "api_stub/authy_v1/tokens.py",
        "        if right:\n            parts.authy_users.confirm(user)",
        "        if right or not user.confirmed:\n            parts.authy_users.confirm(user)",
        "tests/integration/test_authy.py::test_no_token_passes_for_a_new_user",
    ),
    # 6. Bad input changes nothing.
    _mutant(
        "lenient-code",
        CHECK,
        "_CODE.fullmatch(code)",
        "_CODE.search(code)",
        VERIFICATIONS + "test_malformed_codes_are_refused_uncounted",
    ),
    # What operators stop stays stopped, and what they do is done once and written down.
    _mutant(
        "paused-is-claimed",
        ROWS,
        "CLAIM.where(held.free())",
        "CLAIM",
        PAUSES + "test_what_is_paused_is_kept_and_goes_out_at_resume",
        PAUSES + "test_a_pause_of_one_country_stops_no_other",
    ),
    _mutant(
        "paused-is-claimed-in-one",
        ROWS,
        "if self._in_one is None or held.holds:",
        "if self._in_one is None:",
        PAUSES + "test_what_is_paused_is_kept_and_goes_out_at_resume",
        PAUSES + "test_a_pause_of_one_country_stops_no_other",
    ),
    _mutant(
        "no-connection-is-a-crash",
        "worker/db.py",
        "        connection = None\n        try:\n"
        "            connection = self.single.raw_connection()\n",
        "        connection = self.single.raw_connection()\n        try:\n",
        "tests/integration/test_prepared.py::test_no_connection_is_unavailable",
    ),
    _mutant(
        "a-dead-pool-is-kept",
        "worker/db.py",
        "            self.single.dispose()\n",
        "",
        "tests/integration/test_prepared.py::test_one_lost_connection_stands_for_all",
    ),
    _mutant(
        "paused-is-published",
        "worker/relay.py",
        "_DUE.where(held.free()) if held.holds else _DUE",
        "_DUE",
        PAUSES + "test_the_relay_publishes_nothing_that_is_held",
    ),
    _mutant(
        "paused-is-promised",
        "worker/verifications/start.py",
        "        held.refuse(channel, country)\n",
        "        pass\n",
        PAUSES + "test_a_start_to_what_is_paused_is_refused",
    ),
    _mutant(
        "pause-is-known-too-late",
        "worker/holds.py",
        "FRESH = 1.0",
        "FRESH = 60.0",
        PAUSES + "test_every_process_knows_within_two_seconds",
    ),
    _mutant(
        "pause-is-asked-for-each-time",
        "worker/holds.py",
        "FRESH = 1.0",
        "FRESH = -100.0",
        PAUSES + "test_nothing_paused_costs_no_statement",
    ),
    _mutant(
        "pause-never-ends",
        "worker/holds.py",
        "or_(_p.until.is_(None), _p.until > then_ms())",
        "or_(_p.until.is_(None), _p.until > 0)",
        PAUSES + "test_it_ends_by_itself",
    ),
    _mutant(
        "blocked-number-is-sent-to",
        JOB,
        'if job["blocked"] or ',
        "if ",
        BLOCKS + "test_what_waits_for_a_blocked_number_fails",
    ),
    _mutant(
        "blocked-number-starts",
        "worker/verifications/admission.py",
        'if seen[0]["blocked"]:',
        "if False:",
        BLOCKS + "test_a_start_to_what_is_blocked_is_refused",
    ),
    _mutant(
        "safe-list-passes-no-prefix",
        "worker/holds.py",
        "return connection.execute(vouched).first() is None",
        "return True",
        BLOCKS + "test_the_safe_list_opens_a_prefix_and_no_number",
    ),
    _mutant(
        "dropped-while-a-worker-holds-it",
        "worker/operations/discarding.py",
        "        _d.state == DeliveryState.QUEUED,\n        *_UNSENT,",
        "        *_UNSENT,",
        DISCARDING + "test_one_taken_since_it_was_looked_at_is_not_dropped",
    ),
    _mutant(
        "dropped-with-its-outcome-unknown",
        "worker/operations/discarding.py",
        "_UNSENT = (_d.doubts == 0, _d.accepted_at.is_(None))",
        "_UNSENT = (_d.accepted_at.is_(None),)",
        DISCARDING + "test_what_is_being_sent_is_not_dropped",
    ),
    _mutant(
        "none-chosen-is-all-that-match",
        "worker/operations/bulk.py",
        "    if not 1 <= len(sids) <= MOST_CHOSEN:",
        "    if len(sids) > MOST_CHOSEN:",
        BULK + "test_what_cannot_be_a_job",
    ),
    _mutant(
        "a-test-by-another-sender",
        "worker/dispatch/route.py",
        'if s.name not in paused and job["only_by"] in (None, s.name)',
        "if s.name not in paused",
        SENDER_TESTS + "test_it_goes_by_the_sender_that_is_named",
    ),
    _mutant(
        "a-test-that-a-plan-follows",
        "worker/fallback.py",
        "        _d.only_by.is_(None),  # of a test nothing follows\n",
        "",
        SENDER_TESTS + "test_no_other_sends_it_and_nothing_follows",
    ),
    _mutant(
        "a-test-by-anybody",
        "api_stub/console/actions.py",
        "    if not session.operator.role.allows(verb.role):",
        "    if False:",
        SENDER_TESTS + "test_on_the_console",
    ),
    _mutant(
        "the-last-admin-may-go",
        "worker/operators/accounts.py",
        "            if admins == {row.sid} and not stays:",
        "            if False:",
        PEOPLE + "test_the_last_admin_stays",
    ),
    _mutant(
        "admins-looked-at-without-a-lock",
        "worker/operators/accounts.py",
        "    .order_by(_o.sid)\n    .with_for_update()\n",
        "    .order_by(_o.sid)\n",
        PEOPLE + "test_who_waits_sees_what_the_other_did[postgresql]",
    ),
    _mutant(
        "retried-beside-a-newer-one",
        "worker/operations/sending.py",
        '_d.sid >= bindparam("sid")',
        '_d.sid == bindparam("sid")',
        OPERATING + "test_an_older_failure_is_not_retried_beside_a_newer_one",
    ),
    _mutant(
        "retried-by-each",
        "worker/operations/sending.py",
        "                known = self._repeated(connection, row, wanted)\n                if known",
        "                known = None\n                if known",
        OPERATING + "test_it_is_sent_again_once",
    ),
    _mutant(
        "limits-overridden-by-anybody",
        "worker/operations/words.py",
        "if not by.admin:",
        "if False:",
        OPERATING + "test_limits_hold_unless_an_admin_overrides_them",
    ),
    _mutant(
        "shown-and-not-written-down",
        "worker/operations/numbers.py",
        '            write_down(connection, by, "reveal", row.sid, reason, after=after)\n',
        "            pass\n",
        OPERATING + "test_a_number_is_shown_once_it_is_in_the_log",
    ),
    _mutant(
        "number-in-the-audit-log",
        "worker/audit.py",
        '_NUMBER.sub("[number]", " ".join(text.split()))',
        '" ".join(text.split())',
        PAUSES + "test_the_log_says_who_why_and_what_was_before",
    ),
    _mutant(
        "circuit-by-hand-is-forgotten",
        "worker/circuits.py",
        "if found[3] == 'open' then",
        "if found[3] == 'x' then",
        OPERATING + "test_a_circuit_by_hand",
    ),
    _mutant(
        "factor-verified-untold",
        "worker/factors/enrol.py",
        "                    self._note(connection, FactorEvent.VERIFIED, entity, sid)\n",
        "                    pass\n",
        FACTOR_HOOKS + "test_the_life_of_a_factor_is_told",
        FACTOR_HOOKS + "test_the_event_is_part_of_the_change",
    ),
    _mutant(
        "factor-event-signed-without-the-url",
        "worker/factor_telling.py",
        "    text = url + ",
        '    text = "" + ',
        FACTOR_HOOKS + "test_it_has_twilios_form_and_signature",
    ),
    _mutant(
        "disabled-factor-webhook-is-told",
        "worker/factor_outbox.py",
        "        _w.service_sid == service_sid, _w.status == ENABLED\n",
        "        _w.service_sid == service_sid\n",
        FACTOR_HOOKS + "test_only_what_was_asked_for_by_whom_it_concerns",
    ),
    _mutant(
        "present-password-uncounted",
        "worker/operators/accounts.py",
        "        tries.take(operator.name, address)\n",
        "",
        "tests/integration/test_operators.py::test_a_stolen_session_does_not_find_the_password_out",
    ),
    _mutant(
        "second-factor-not-resealed",
        "worker/operators/accounts.py",
        'return {"totp_sealed": self._keyring.seal_secret(secret, row["sid"])}',
        "return {}",
        "tests/integration/test_resealing.py::test_a_second_factor_survives_a_new_key",
    ),
    _mutant(
        "budget-is-not-asked",
        "worker/spending.py",
        "if one.scope in scopes",
        "if one.scope in ()",
        BUDGETS + "test_what_is_used_up_refuses_until_the_day_ends",
    ),
    _mutant(
        "budget-takes-one",
        "worker/spending.py",
        "budget.most, price.micros)",
        "budget.most, 1)",
        BUDGETS + "test_money_is_counted_by_its_price",
    ),
    _mutant(
        "budget-is-counted-beside",
        "worker/limits.py",
        "  local wait = (day + 1) * 86400000 - now\n",
        "  local wait = (day + 1) * 86400000 - now redis.call('HINCRBY', KEYS[i], 'used', 1)\n",
        BUDGETS + "test_it_counts_all_or_nothing",
    ),
    _mutant(
        "budget-is-overdrawn",
        "worker/limits.py",
        "(used >= most or used + takes > most)",
        "used > most",
        BUDGETS + "test_many_at_once_at_the_edge",
    ),
    _mutant(
        "budget-forgets-with-the-broker",
        "worker/limits.py",
        "if not kept[1] then return {-3, 0} end",
        "if not kept[1] then return {0, 0} end",
        BUDGETS + "test_an_emptied_broker_forgets_no_budget",
    ),
    _mutant(
        "budget-lasts-for-ever",
        "worker/limits.py",
        "day > tonumber(kept[1]) and 0 or tonumber(kept[2])",
        "tonumber(kept[2])",
        BUDGETS + "test_a_new_day_begins_with_nothing_used",
    ),
)
