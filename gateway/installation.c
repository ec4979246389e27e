/* installation.c - secrets are made first and installation.json last, so that where it stands all
 * of them stand; one that is missing later is not made anew: without its pepper no key works any
 * more. */
#include "gateway/installation.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "billing/archive.h"
#include "billing/partition.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/mem.h"
#include "lib/base/rand.h"

#define FORMAT            1
#define ID_CHARACTERS     16
#define SECRET_CHARACTERS 48 /* 248 bits */
#define JSON_BYTES_MAX    4096
#define LOCK_TRIES        100
#define LOCK_PAUSE_MS     50

struct place {
    const char *state, *zone;
    char *json; /* path of installation.json */
};

static bool may_be_made(const char *state, const char *archive, struct err *err);
static bool is_of_archive(const struct place *p, const char *archive, const char *id,
                          struct err *err);
static bool is_hidden(const char *state);
static bool make(const struct place *p, struct err *err);
static struct file_lock *wait_for_lock(const struct place *p, struct err *err);
static bool make_parts(const struct place *p, struct err *err);
static bool make_secret(const struct place *p, const char *name, const char *prefix,
                        struct err *err);
static bool make_signing_key(const struct place *p, struct err *err);
static bool make_json(const struct place *p, struct err *err);
static bool load(const struct place *p, struct installation *out, struct err *err);
static bool load_json(const struct place *p, struct installation *out, struct err *err);
static bool check_json(const struct place *p, const json_t *json, struct installation *out,
                       struct err *err);
static bool load_secret(const struct place *p, const char *name, struct secret *out,
                        struct err *err);

bool installation_open(const char *state, const char *archive, const char *zone,
                       struct installation *out, struct err *err)
{
    AUTO_STRING json = path_join(state, "installation.json");
    struct place place = {state, zone, json};
    AUTO_CLEAR(installation) found = {.signing_key = NULL};

    if (!dir_ensure(state, 0700, err))
        return false;
    if (!file_exists(json) && (!may_be_made(state, archive, err) || !make(&place, err)))
        return false;
    if (!load(&place, &found, err) || !is_of_archive(&place, archive, found.id, err) ||
        !public_keys_keep(archive, found.signing_key, err) ||
        !public_keys_kept(archive, &found.public_keys, err))
        return false;
    *out = found;
    found.peppers = (struct peppers){0};
    found.signing_key = NULL;
    found.public_keys.count = 0;
    return true;
}

/* A second identity would write into the archive of the first, and Redis would refuse it. */
static bool may_be_made(const char *state, const char *archive, struct err *err)
{
    char owner[INSTALLATION_TEXT];

    if (!archive_installation(archive, owner, err))
        return false;
    return !owner[0] ||
           err_set(err, ERR_INPUT,
                   "%s has no installation.json, but the archive %s is of installation %s: to join "
                   "it, copy installation.json, pepper, derivation.key, signing.pem, "
                   "operator.token and "
                   "finance.token from the state directory of one of its hosts",
                   state, archive, owner);
}

static bool is_of_archive(const struct place *p, const char *archive, const char *id,
                          struct err *err)
{
    char owner[INSTALLATION_TEXT];

    if (!archive_installation(archive, owner, err))
        return false;
    return !owner[0] || strcmp(owner, id) == 0 ||
           err_set(err, ERR_INPUT, "%s is of installation %s, but the archive %s is of %s",
                   p->state, id, archive, owner);
}

bool installation_check(const char *state, const char *archive, const char *zone, struct err *err)
{
    AUTO_STRING json = path_join(state, "installation.json");
    struct place place = {state, zone, json};
    AUTO_CLEAR(installation) found = {.signing_key = NULL};

    if (!file_exists(json))
        return is_hidden(state) || may_be_made(state, archive, err);
    return load(&place, &found, err) && is_of_archive(&place, archive, found.id, err);
}

/* Another user's: what is in it can't be said. */
static bool is_hidden(const char *state)
{
    return file_exists(state) && faccessat(AT_FDCWD, state, X_OK, AT_EACCESS) != 0;
}

void installation_clear(struct installation *i)
{
    peppers_clear(&i->peppers);
    secret_clear(&i->derivation_key);
    secret_clear(&i->operator_token);
    secret_clear(&i->finance_token);
    signing_key_free(i->signing_key);
    i->signing_key = NULL;
    public_keys_clear(&i->public_keys);
}

/* Two programs may come to an empty directory at once: one makes it, the other waits and finds it
 * made. */
static bool make(const struct place *p, struct err *err)
{
    AUTO(file_lock) lock = wait_for_lock(p, err);

    return lock && (file_exists(p->json) || make_parts(p, err));
}

static struct file_lock *wait_for_lock(const struct place *p, struct err *err)
{
    struct err why = {.code = ERR_EXISTS};
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * NANOS_PER_MS};
    AUTO_STRING path = path_join(p->state, "installation.lock");
    struct file_lock *lock = NULL;

    for (int tries = 0; !lock && why.code == ERR_EXISTS && tries < LOCK_TRIES; tries++) {
        if (tries > 0)
            nanosleep(&pause, NULL);
        lock = file_lock_take(path, &why);
    }
    if (!lock)
        err_set(err, why.code, "%s", why.text);
    return lock;
}

static bool make_parts(const struct place *p, struct err *err)
{
    return make_secret(p, "pepper", "", err) && make_secret(p, "derivation.key", "", err) &&
           make_secret(p, "operator.token", "ot-tg-", err) &&
           make_secret(p, "finance.token", "ft-tg-", err) && make_signing_key(p, err) &&
           make_json(p, err);
}

/* What an earlier attempt left behind is used: nothing was built on it yet. */
static bool make_secret(const struct place *p, const char *name, const char *prefix,
                        struct err *err)
{
    AUTO_STRING path = path_join(p->state, name);
    AUTO_CLEAR(buf) text = {.max = 256};
    char random[SECRET_CHARACTERS + 1];

    if (file_exists(path))
        return true;
    rand_text(random, SECRET_CHARACTERS);
    buf_printf(&text, "%s%s\n", prefix, random);
    return buf_ok(&text, name, err) && file_write_new(path, 0600, buf_span(&text), err);
}

static bool make_signing_key(const struct place *p, struct err *err)
{
    AUTO_STRING path = path_join(p->state, "signing.pem");
    AUTO(signing_key) key = NULL;

    if (file_exists(path))
        return true;
    key = signing_key_generate();
    return signing_key_save(key, path, err);
}

static bool make_json(const struct place *p, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = JSON_BYTES_MAX};
    char id[sizeof((struct installation *)0)->id] = "in-";
    struct jw w;

    rand_text(id + 3, ID_CHARACTERS);
    jw_init(&w, &text);
    jw_object(&w);
    jw_int_member(&w, "format", FORMAT);
    jw_string_member(&w, "installation", id);
    jw_int_member(&w, "partitions", PARTITIONS);
    jw_string_member(&w, "zone", p->zone);
    jw_time_member(&w, "created_at", clock_now());
    jw_object_end(&w);
    buf_add_char(&text, '\n');
    return buf_ok(&text, "installation.json", err) &&
           file_write_new(p->json, 0600, buf_span(&text), err);
}

static bool load(const struct place *p, struct installation *out, struct err *err)
{
    AUTO_STRING signing = path_join(p->state, "signing.pem");

    if (!load_json(p, out, err) || !peppers_load(&out->peppers, p->state, err) ||
        !load_secret(p, "derivation.key", &out->derivation_key, err) ||
        !load_secret(p, "operator.token", &out->operator_token, err) ||
        !load_secret(p, "finance.token", &out->finance_token, err))
        return false;
    out->signing_key = signing_key_load(signing, err);
    return out->signing_key != NULL;
}

static bool load_json(const struct place *p, struct installation *out, struct err *err)
{
    AUTO_CLEAR(buf) text = {.max = JSON_BYTES_MAX};
    AUTO_JSON json = NULL;

    if (!file_read(p->json, &text, err))
        return false;
    json = json_parse(buf_span(&text), err);
    return (json && check_json(p, json, out, err)) || err_context(err, "%s", p->json);
}

static bool check_json(const struct place *p, const json_t *json, struct installation *out,
                       struct err *err)
{
    static const char what[] = "the installation";
    const char *id, *zone;
    int64_t format, partitions;

    if (!json_get_int(json, "format", &format, what, err) ||
        !json_get_string(json, "installation", &id, what, err) ||
        !json_get_int(json, "partitions", &partitions, what, err) ||
        !json_get_string(json, "zone", &zone, what, err))
        return false;
    if (format != FORMAT)
        return err_set(err, ERR_INPUT, "format %lld is not known to this version",
                       (long long)format);
    if (strlen(id) != 3 + ID_CHARACTERS || strncmp(id, "in-", 3) != 0)
        return err_set(err, ERR_CORRUPT, "\"%.60s\" is no installation id", id);
    if (partitions != PARTITIONS)
        return err_set(err, ERR_INPUT, "it was made with %lld partitions, this program has %d",
                       (long long)partitions, PARTITIONS);
    if (strcmp(zone, p->zone) != 0)
        return err_set(err, ERR_INPUT,
                       "it was made for zone %.60s, the config says %s: a zone can't be changed, "
                       "because settlement months would overlap",
                       zone, p->zone);
    return span_copy(span_of(id), out->id, sizeof out->id);
}

static bool load_secret(const struct place *p, const char *name, struct secret *out,
                        struct err *err)
{
    AUTO_STRING path = path_join(p->state, name);

    if (!secret_read_file(out, path, err))
        return false;
    return out->len > 0 || err_set(err, ERR_CORRUPT, "%s is empty", path);
}
