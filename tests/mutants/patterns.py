"""Guards against the faults of docs/correctness.md, by their numbers there."""

from tests.mutants.words import mutant

CORRECTNESS = "tests/integration/test_correctness.py::"
VERIFICATIONS = "tests/integration/test_verifications.py::"
DISPATCH = "tests/integration/test_dispatch.py::"
SENDERS = "tests/integration/test_senders.py::"
FACTORS = "tests/integration/test_factors.py::"
CODES = "tests/unit/test_codes.py::"
LOGS = "tests/unit/test_logs.py::"
MESSAGES = "tests/unit/test_messages.py::"

CODE = "worker/codes.py"
LOG = "worker/logs.py"
TEXTS = "worker/messages/__init__.py"
TWILIO = "worker/providers/twilio.py"
TWILIO_WORDS = "worker/providers/twilio_errors.py"
CHALLENGE = "worker/factors/challenge.py"

PATTERNS = (
    mutant(
        "guesses-elsewhere-lock-out",  # 11
        "worker/verifications/check.py",
        "    _g.service_sid == _v.service_sid,\n",
        "",
        CORRECTNESS + "test_guesses_from_elsewhere_lock_nobody_out",
    ),
    mutant(
        "digest-of-the-code-alone",  # 13
        CODE,
        "(kid.encode(), salt, *(s.encode() for s in texts))",
        "(kid.encode(), *(s.encode() for s in texts[3:]))",
        VERIFICATIONS + "test_copied_digest_is_useless",
        CODES + "test_a_digest_binds_every_part",
    ),
    mutant(
        "code-loses-its-zeros",  # 14
        CODE,
        'f"{value % 10**wanted:0{wanted}d}"',
        'f"{value % 10**wanted}"',
        CODES + "test_leading_zeros_are_kept",
    ),
    mutant(
        "code-without-nines",  # 16
        CODE,
        'f"{value % 10**wanted:0{wanted}d}"',
        'f"{value % 10**wanted:0{wanted}d}".replace("9", "0")',
        CODES + "test_codes_are_uniform_in_every_place",
    ),
    mutant(
        "digest-without-a-key",  # 17
        CODE,
        "hmac.digest(self._key(kid).digest, message",
        'hmac.digest(b"", message',
        CORRECTNESS + "test_a_digest_is_not_found_without_the_key",
    ),
    mutant(
        "exception-with-its-values",  # 19
        LOG,
        'getattr(kind, "__name__", str(kind))',
        "repr(exception[1] if isinstance(exception, tuple) else exception)",
        LOGS + "test_an_exception_is_its_type_and_place",
    ),
    mutant(
        "line-is-not-looked-at",  # 22, 23
        LOG,
        "                redact,\n",
        "",
        LOGS + "test_a_slip_is_taken_out_of_a_line",
        LOGS + "test_values_are_taken_out_by_their_names",
    ),
    mutant(
        "limit-without-an-end",  # 24
        "worker/limits.py",
        "  redis.call('PEXPIRE', KEYS[i], ARGV[at + 1])\n",
        "",
        CORRECTNESS + "test_every_key_of_the_limits_ends",
    ),
    mutant(
        "others-are-seen",  # 26
        "worker/verifications/base.py",
        '.where(_v.account_sid == bindparam("account"))',
        "",
        "tests/integration/test_likeness.py::test_what_is_anothers_is_like_what_is_not_there",
    ),
    mutant(
        "limit-by-request",  # 31
        "worker/verifications/start.py",
        "wanted.service_sid, indexes[0], wanted.channel, indexes",
        'wanted.service_sid, (wanted.request_id or "").encode(), wanted.channel',
        CORRECTNESS + "test_a_new_request_id_is_no_new_budget",
    ),
    mutant(
        "call-after-a-refusal",  # 33
        TWILIO_WORDS,
        "return numeric and kind_of(int(error_code[:9])) is not ErrorKind.PERMANENT",
        "return numeric",
        DISPATCH + "test_no_call_to_who_refused_or_does_not_exist",
    ),
    mutant(
        "deafness-is-not-seen",  # 37
        "worker/watchdog.py",
        "return not self._running and self._clock() - self._starving_since >= DEAF_AFTER",
        "return False",
        "tests/integration/test_watchdog.py::test_silence_before_a_full_queue_is_deafness",
    ),
    mutant(
        "known-error-counts-as-unknown",  # 38
        TWILIO_WORDS,
        "kind = KINDS.get(code)",
        "kind = KINDS.get(-code)",
        "tests/unit/test_twilio_errors.py::test_a_known_code_decides_the_next_step",
    ),
    mutant(
        "retry-after-is-ignored",  # 38
        "worker/dispatch/__init__.py",
        'max(error.retry_after or 0, self._backoff(job["tries"]))',
        'self._backoff(job["tries"])',
        DISPATCH + "test_no_retry_after_the_codes_life",
    ),
    mutant(
        "message-outlives-its-code",  # 39
        TWILIO,
        "validity_period=max(1, min(VALIDITY_SECONDS, int(outgoing.remaining))),",
        "validity_period=VALIDITY_SECONDS,",
        DISPATCH + "test_sms_carries_code_callback_and_validity",
    ),
    mutant(
        "one-bad-delivery-stops-a-job",  # 41
        "worker/dispatch/__init__.py",
        "except (ValueError, KeyMissingError, InvalidTag) as error:",
        "except (ValueError, InvalidTag) as error:",
        CORRECTNESS + "test_a_delivery_that_cannot_be_made_stops_no_other",
    ),
    mutant(
        "only-201-is-a-success",  # 42
        TWILIO,
        "if not 200 <= answer.status < 300:",
        "if answer.status != 201:",
        "tests/integration/test_twilio_provider.py::test_every_kind_of_success_is_one",
    ),
    mutant(
        "redirect-is-a-success",  # 42
        TWILIO,
        "if not 200 <= answer.status < 300:",
        "if not 200 <= answer.status < 400:",
        "tests/integration/test_twilio_provider.py::test_every_kind_of_success_is_one",
    ),
    mutant(
        "unwilling-number-tries-another-sender",  # 45
        "worker/dispatch/route.py",
        "if error.kind in (ErrorKind.PERMANENT, ErrorKind.CHANNEL):",
        "if False:",
        SENDERS + "test_a_wrong_or_unwilling_number_tries_no_other_sender",
    ),
    mutant(
        "success-takes-no-failure-back",  # 45
        "worker/circuits.py",
        "redis.call('HINCRBY', KEYS[1], 'score', -1)",
        "redis.call('HINCRBY', KEYS[1], 'score', 0)",
        "tests/integration/test_circuits.py::"
        "test_half_the_calls_failing_do_not_open_it_and_most_do",
    ),
    mutant(
        "another-code-by-call",  # 46
        "worker/dispatch/content.py",
        'job["key_id"], job["salt"], job["code_length"]',
        'job["key_id"], job["salt"] + job["channel"].encode(), job["code_length"]',
        CORRECTNESS + "test_every_send_carries_the_one_code",
    ),
    mutant(
        "another-code-by-another-sender",  # 46
        "worker/dispatch/content.py",
        'job["key_id"], job["salt"], job["code_length"]',
        'job["key_id"], job["salt"] + job["sender"].encode(), job["code_length"]',
        SENDERS + "test_the_code_is_the_same_by_every_sender",
    ),
    mutant(
        "warning-makes-a-second-part",  # 47
        TEXTS,
        "if readable and segments(body).parts == 1:",
        "if readable:",
        MESSAGES + "test_the_warning_makes_no_second_part",
    ),
    mutant(
        "name-is-a-pattern",  # 48
        "worker/messages/catalogue.py",
        '    parts = pattern.split("{")\n',
        '    parts = pattern.replace("{brand}", values.get("brand", "")).split("{")\n',
        MESSAGES + "test_braces_in_a_brand_stay_braces",
    ),
    mutant(
        "call-says-a-number",  # 49
        TEXTS,
        'digits = ", ".join(code)',
        "digits = code",
        MESSAGES + "test_a_call_says_each_digit_three_times",
    ),
    mutant(
        "gate-asks-once",  # 49
        TEXTS,
        "for _ in range(2):",
        "for _ in range(1):",
        MESSAGES + "test_the_gate_asks_twice_and_hangs_up",
    ),
    mutant(
        "acceptance-moves-back",  # 51
        "worker/dispatch/rows.py",
        "state=case((_UNDECIDED, DeliveryState.ACCEPTED.value), else_=_d.state),",
        "state=DeliveryState.ACCEPTED.value,",
        DISPATCH + "test_receipt_before_our_own_write",
    ),
    mutant(
        "busy-counts-as-delivered",  # 54
        TWILIO_WORDS,
        '"busy": DeliveryState.UNDELIVERED',
        '"busy": DeliveryState.DELIVERED',
        "tests/integration/test_receipts.py::test_an_unanswered_call_is_no_delivery",
    ),
    mutant(
        "app-code-twice",  # 56, 57
        CHALLENGE,
        "_RIGHT = _f.last_step < _STEP\n",
        "_RIGHT = _STEP >= 0\n",
        FACTORS + "test_a_code_is_accepted_once_over_all_challenges",
        FACTORS + "test_a_used_code_is_refused_in_a_fresh_challenge",
    ),
    mutant(
        "app-code-guessed-for-ever",  # 57
        CHALLENGE,
        "        _c.tries < MAX_TRIES,\n",
        "",
        FACTORS + "test_guesses_at_once_in_a_challenge",
    ),
    mutant(
        "failure-counts-against-every-factor",  # 58
        CHALLENGE,
        '.where(_f.sid == bindparam("b_factor"), _f.status',
        '.where(bindparam("b_factor", type_=_f.sid.type) != "", _f.status',
        FACTORS + "test_a_failure_counts_against_its_own_factor",
    ),
    mutant(
        "window-is-wider",  # 59
        "worker/factors/totp.py",
        "present + config.skew + 1)",
        "present + config.skew + 2)",
        FACTORS + "test_the_window_is_exact",
        "tests/unit/test_totp.py::test_exactly_the_steps_of_the_skew_count",
    ),
    mutant(
        "secret-is-shown-for-good",  # 60
        "worker/factors/enrol.py",
        'if row["status"] != UNVERIFIED:',
        "if False:",
        FACTORS + "test_the_secret_is_shown_until_the_factor_is_verified",
    ),
    mutant(
        "unverified-factor-is-asked",  # 60
        CHALLENGE,
        'if factor["status"] != VERIFIED:',
        "if False:",
        FACTORS + "test_a_factor_counts_after_its_first_right_code",
    ),
    mutant(
        "any-code-verifies-a-factor",  # 61
        "worker/factors/enrol.py",
        "status=case((_RIGHT, VERIFIED), else_=_f.status),",
        "status=VERIFIED,",
        FACTORS + "test_a_factor_counts_after_its_first_right_code",
        FACTORS + "test_five_guesses_at_a_verification",
    ),
    mutant(
        "backup-code-twice",
        "worker/factors/backup.py",
        "        _b.used_at.is_(None),\n    )\n    .values(used_at",
        "    )\n    .values(used_at",
        "tests/integration/test_backup_codes.py::test_a_code_is_accepted_once_at_once",
    ),
)
