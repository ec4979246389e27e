/* pepper.c - a pepper's id is eight hex digits of an HMAC under it: enough to tell three apart. */
#include "gateway/pepper.h"

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

static void pepper_clear(struct pepper *p);
static bool load(struct peppers *p, enum pepper_role role, const char *state, struct err *err);

const char *pepper_file(enum pepper_role role)
{
    static const char *const files[PEPPERS] = {"pepper", "pepper.previous", "pepper.next"};

    return files[role];
}

void pepper_set(struct pepper *p, const struct secret *secret)
{
    unsigned char mac[SHA256_LEN];

    pepper_clear(p);
    p->secret = *secret;
    p->keyed = hmac_key_new(secret);
    hmac_key_mac(p->keyed, SPAN("tollgate pepper id"), mac);
    hex_encode(mac, (PEPPER_ID_TEXT - 1) / 2, p->id);
}

bool peppers_load(struct peppers *p, const char *state, struct err *err)
{
    for (int role = 0; role < PEPPERS; role++)
        if (!load(p, (enum pepper_role)role, state, err))
            return false;
    return true;
}

static bool load(struct peppers *p, enum pepper_role role, const char *state, struct err *err)
{
    AUTO_STRING path = path_join(state, pepper_file(role));
    AUTO_CLEAR(secret) secret = {.len = 0};
    struct pepper pepper = {.id = ""};
    enum pepper_role same;

    if (role != PEPPER_IN_USE && !file_exists(path))
        return true;
    if (!secret_read_file(&secret, path, err))
        return false;
    pepper_set(&pepper, &secret);
    if (!peppers_find(p, pepper.id, &same))
        pepper_set(&p->of[role], &secret);
    pepper_clear(&pepper);
    return true;
}

bool peppers_find(const struct peppers *p, const char *id, enum pepper_role *out)
{
    for (int role = 0; role < PEPPERS; role++)
        if (id[0] && strcmp(p->of[role].id, id) == 0) {
            *out = (enum pepper_role)role;
            return true;
        }
    return false;
}

bool peppers_next(const struct peppers *p, enum pepper_role *role)
{
    for (int next = *role + 1; next < PEPPERS; next++)
        if (p->of[next].id[0]) {
            *role = (enum pepper_role)next;
            return true;
        }
    return false;
}

void peppers_clear(struct peppers *p)
{
    for (int role = 0; role < PEPPERS; role++)
        pepper_clear(&p->of[role]);
}

static void pepper_clear(struct pepper *p)
{
    p->id[0] = '\0';
    secret_clear(&p->secret);
    hmac_key_free(p->keyed);
    p->keyed = NULL;
}
