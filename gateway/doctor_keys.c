/* doctor_keys.c - whether a change of the pepper is under way, and how many keys still need the earlier one. */
#include <stdlib.h>
#include <string.h>

#include "gateway/doctor.h"
#include "gateway/pepper.h"
#include "gateway/scan.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define WAIT_MS 1000

struct count {
    struct redis *redis;
    const char *pepper; /* the earlier one's id */
    char **ids;
    size_t id_count, next;
    size_t keys, outdated; /* that are not revoked */
    struct err err;
    bool is_over;
};

static void find_previous(struct doctor *d, const struct count *c);
static void on_ids(void *arg, char *const *ids, size_t count, const struct err *err);
static void read_next(struct count *c);
static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err);

void doctor_look_at_keys(struct doctor *d, struct loop *loop, struct redis *redis)
{
    AUTO_CLEAR(peppers) peppers = {0};
    struct count c = {.redis = redis, .err = {.code = ERR_NONE}};
    struct err err;

    if (!peppers_load(&peppers, d->options->state, &err))
        return; /* its files were looked at */
    if (peppers.of[PEPPER_NEXT].id[0])
        doctor_find(d, "pepper", HEALTH_UNSAFE,
                    "go on as soon as every host has it and was reloaded: copy `pepper` to "
                    "`pepper.previous`, rename `pepper.next` to `pepper`, and reload",
                    "pepper.next is known to this host, and not in use yet");
    if (peppers.of[PEPPER_PREVIOUS].id[0]) {
        c.pepper = peppers.of[PEPPER_PREVIOUS].id;
        scan_names(redis, "key", on_ids, &c);
        while (!loop_run_until(loop, &c.is_over, WAIT_MS))
            ; /* every command has a deadline of its own */
        find_previous(d, &c);
    }
    for (size_t i = 0; i < c.id_count; i++)
        free(c.ids[i]);
    free(c.ids);
}

static void find_previous(struct doctor *d, const struct count *c)
{
    if (c->err.code)
        doctor_find(d, "pepper", HEALTH_UNKNOWN, "look at `tollgate key list`",
                    "pepper.previous is there; the keys that need it can't be counted: %s",
                    c->err.text);
    else
        doctor_find(d, "pepper", HEALTH_UNSAFE,
                    c->outdated ? "keys take the new one when they are used; `tollgate key list` "
                                  "names those that have not: once they may end, remove "
                                  "pepper.previous on every host and reload"
                                : "24 hours after the change, remove it on every host and reload",
                    "pepper.previous is there, and %zu of %zu keys need it", c->outdated, c->keys);
}

static void on_ids(void *arg, char *const *ids, size_t count, const struct err *err)
{
    struct count *c = arg;

    if (err) {
        c->err = *err;
        c->is_over = true;
        return;
    }
    c->ids = xcalloc(count + 1, sizeof *c->ids);
    for (c->id_count = 0; c->id_count < count; c->id_count++)
        c->ids[c->id_count] = xstrdup(ids[c->id_count]);
    read_next(c);
}

static void read_next(struct count *c)
{
    if (c->next < c->id_count)
        key_read(c->redis, c->ids[c->next], on_key, c);
    else
        c->is_over = true;
}

static void on_key(void *arg, bool found, const struct key_state *state, const struct err *err)
{
    struct count *c = arg;

    if (err) {
        c->err = *err;
        c->is_over = true;
        return;
    }
    if (found && !state->revoked) {
        c->keys++;
        c->outdated += strcmp(state->pepper, c->pepper) == 0;
    }
    c->next++;
    read_next(c);
}
