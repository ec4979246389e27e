/* test_admission_read.c - what is known of a key and of an account, and when nothing can be said of them. */
#include <check.h>

#include "tests/base/run.h"
#include "tests/billing/admission_fixture.h"

struct seen {
    bool is_done, found, has_failed;
    struct key_state key;
    struct account_state account;
};

static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct seen *s = arg;

    *s = (struct seen){.is_done = true, .found = found, .has_failed = err != NULL};
    if (state)
        s->key = *state;
}

static struct seen read_key(const char *public_id)
{
    struct seen s = {0};

    key_read(redis, public_id, on_key, &s);
    ck_assert(loop_run_until(loop, &s.is_done, WAIT_MS));
    return s;
}

START_TEST(a_keys_state_is_read_from_the_partition_that_its_id_names)
{
    struct seen s;

    set("HSET tg:{a17}:state run_id %s", redis_run_id(redis, SPAN("")));
    set("HSET tg:{a00}:state run_id %s", redis_run_id(redis, SPAN("")));
    set("HSET tg:{a17}:key:17abcdefghij owner_kind creator owner alice state active expires_at 77 "
        "hash 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f pepper 0a1b2c3d");
    s = read_key("17abcdefghij");
    ck_assert(s.found && !s.has_failed && !s.key.revoked);
    ck_assert_int_eq(s.key.owner_kind, 'c');
    ck_assert_str_eq(s.key.owner, "alice");
    ck_assert_int_eq(s.key.expires_at, 77);
    ck_assert_uint_eq(s.key.hash[31], 31);
    ck_assert_str_eq(s.key.pepper, "0a1b2c3d");
    set("HSET tg:{a17}:key:17abcdefghij state revoked");
    ck_assert(read_key("17abcdefghij").key.revoked);
    ck_assert(!read_key("17abcdefghik").found);
    ck_assert(!read_key("64abcdefghij").found);
    ck_assert(!read_key("17}:x").found);
    set("HSET tg:{a17}:key:17abcdefghij hash 0001");
    ck_assert(read_key("17abcdefghij").has_failed);
    set("SET tg:{a17}:key:17abcdefghij text");
    ck_assert(read_key("17abcdefghij").has_failed);
}
END_TEST

START_TEST(a_key_is_neither_known_nor_unknown_while_its_partition_is_recovering)
{
    set("HSET tg:{a17}:key:17abcdefghij owner_kind creator owner alice state active expires_at 77 "
        "hash 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f pepper 0a1b2c3d");
    ck_assert(read_key("17abcdefghij").has_failed);
    ck_assert(read_key("17abcdefghik").has_failed);
    set("HSET tg:{a17}:state run_id earlier");
    ck_assert(read_key("17abcdefghij").has_failed);
    set("HSET tg:{a17}:state run_id %s", redis_run_id(redis, SPAN("")));
    ck_assert(read_key("17abcdefghij").found);
    ck_assert(!read_key("17abcdefghik").has_failed);
}
END_TEST

static void on_account(void *arg, bool found, const struct account_state *state,
                       const struct err *err)
{
    struct seen *s = arg;

    *s = (struct seen){.is_done = true, .found = found, .has_failed = err != NULL};
    if (state)
        s->account = *state;
}

static struct seen read_account(const char *account)
{
    struct seen s = {0};

    account_read(redis, account, on_account, &s);
    ck_assert(loop_run_until(loop, &s.is_done, WAIT_MS));
    return s;
}

START_TEST(an_accounts_state_is_read_with_its_open_calls)
{
    struct seen s;

    set("HSET tg:{%s}:account:acct balance -9223372036854775807", partition);
    set("HSET tg:{%s}:holds:acct r x", partition);
    s = read_account("acct");
    ck_assert(s.found && !s.has_failed && s.account.opened && s.account.prepaid);
    ck_assert_str_eq(s.account.currency, "CNY");
    ck_assert_int_eq(s.account.balance, -INT64_MAX);
    ck_assert_int_eq(s.account.room, 5000000000);
    ck_assert_int_eq(s.account.open, 1);
    ck_assert(!read_account("nobody").found);
    set("HDEL tg:{%s}:account:acct opened", partition);
    s = read_account("acct");
    ck_assert(s.found && !s.account.opened);
    set("SET tg:{%s}:account:acct text", partition);
    ck_assert(read_account("acct").has_failed);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("admission_read");

    tcase_set_timeout(t, 20);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, a_keys_state_is_read_from_the_partition_that_its_id_names);
    tcase_add_test(t, a_key_is_neither_known_nor_unknown_while_its_partition_is_recovering);
    tcase_add_test(t, an_accounts_state_is_read_with_its_open_calls);
    return run_tests(t, "admission_read");
}
