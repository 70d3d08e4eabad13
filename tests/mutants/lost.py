"""Guards of what is learnt again after the broker lost it."""

from tests.mutants.words import mutant as _mutant

TESTS = "tests/integration/test_recall.py::"

LOST = (
    _mutant(
        "lost-list-counts-as-empty",
        "worker/limits.py",
        "since > now - ARGV[at + 1] and redis",
        "false and redis",
        TESTS + "test_the_sixth_send_is_refused",
    ),
    _mutant(
        "a-loss-is-looked-after-for-ever",
        "worker/limits.py",
        "since > now - ARGV[at + 1] and redis",
        "since > 0 and redis",
        TESTS + "test_a_day_after_the_loss_it_costs_nothing",
    ),
    _mutant(
        "nothing-is-learnt",
        "worker/recall.py",
        "len(ages), *ages]",
        "0]",
        TESTS + "test_the_sixth_send_is_refused",
    ),
    _mutant(
        "learnt-in-one-service-only",
        "worker/statements.py",
        "DAY, Sends(every)),",
        "DAY, Sends(every, service=service_sid)),",
        TESTS + "test_a_day_of_a_number_over_all_services",
    ),
    _mutant(
        "texts-count-as-calls",
        "worker/sent.py",
        "if sends.channel:",
        "if False:",
        TESTS + "test_calls_are_counted_for_themselves",
    ),
    _mutant(
        "approved-sends-come-back",
        "worker/sent.py",
        "_IN_SERVICE, _d.created_at > _LAST_GIVEN_BACK",
        "_IN_SERVICE",
        TESTS + "test_what_was_given_back_stays_so",
    ),
    _mutant(
        "forgotten-is-learnt-again",
        "worker/recall.py",
        "if since > now - ARGV[i - 1] then",
        "if false then",
        TESTS + "test_a_reset_after_the_loss_holds",
    ),
    _mutant(
        "a-number-without-sends-is-asked-about-again",
        "worker/recall.py",
        "    if ages == 0 then redis.call('RPUSH', KEYS[i], 0) end\n",
        "",
        TESTS + "test_a_number_is_asked_about_once",
    ),
    _mutant(
        "a-fresh-broker-is-never-whole",
        "worker/recall.py",
        "redis.call('SET', KEYS[1], 0)",
        "return",
        TESTS + "test_a_fresh_installation_costs_nothing",
    ),
    _mutant(
        "learnt-over-what-is-there",
        "worker/recall.py",
        "if redis.call('EXISTS', KEYS[i]) == 0 then",
        "if true then",
        TESTS + "test_two_that_learn_the_same",
    ),
    _mutant(
        "learnt-from-before-another-loss",
        "worker/recall.py",
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return end",
        "",
        TESTS + "test_a_second_loss_between_question_and_answer",
    ),
    _mutant(
        "nothing-sent-is-believed-late",
        "worker/recall.py",
        "if redis.call('GET', KEYS[1]) == ARGV[1] then",
        "if true then",
        TESTS + "test_a_second_loss_while_asking_whether_any_was_sent",
    ),
    _mutant(
        "learnt-by-the-new-key-alone",
        "worker/verifications/start.py",
        "indexes[0], wanted.channel, indexes",
        "indexes[0], wanted.channel",
        TESTS + "test_sends_under_every_key_are_learnt",
    ),
    _mutant(
        "learnt-by-the-rows-key-alone",
        "worker/sent.py",
        "if len(known) == 1 < len(self._keyring.kids):",
        "if False:",
        TESTS + "test_a_retry_learns_what_another_key_wrote",
    ),
    _mutant(
        "sends-of-an-old-verification-are-missed",
        "worker/sent.py",
        "LONGEST_LIFE = 86_400_000",
        "LONGEST_LIFE = 0",
        TESTS + "test_late_sends_of_an_old_verification",
    ),
)
