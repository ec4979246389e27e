/* zone.c - GLib reads tzdata's files. It would take much for a zone that is no name in them, so the name is looked at
 * first. What it lacks: from 2038 on it knows no summer time that is behind winter's, which Ireland alone has. */
#include "lib/base/zone.h"

#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

#define TZDATA      "/usr/share/zoneinfo"
#define OFF_BY_MOST (INT64_C(36) * 3600) /* a day begins no further from its midnight in UTC */

struct zone {
    GTimeZone *rules;
};

struct zones {
    struct open_zone *first;
};

struct open_zone {
    struct open_zone *next;
    struct zone *zone;
    char name[ZONE_TEXT];
};

static bool is_name(const char *text);
static bool is_known(const char *name);

struct zone *zone_open(const char *name, struct err *err)
{
    GTimeZone *rules = is_name(name) && is_known(name) ? g_time_zone_new_identifier(name) : NULL;
    struct zone *z;

    if (!rules) {
        err_set(err, ERR_INPUT,
                "time zone \"%.80s\" is not known to this machine: an IANA name such as "
                "Europe/Berlin is needed, and tzdata",
                name);
        return NULL;
    }
    z = xcalloc(1, sizeof *z);
    z->rules = rules;
    return z;
}

/* Not names: paths, the machine's own zone, and the doubles that some machines keep beside the zones. */
static bool is_name(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_+-";
    static const char *const others[] = {"localtime", "posixrules", "Factory"};
    size_t n = strlen(text);

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (strcmp(text, others[i]) == 0)
            return false;
    return n > 0 && n < ZONE_TEXT && strspn(text, letters) == n && text[0] != '/' &&
           strncmp(text, "posix/", 6) != 0 && strncmp(text, "right/", 6) != 0;
}

static bool is_known(const char *name)
{
    const char *dir = getenv("TZDIR");
    char path[512], magic[4];
    bool known;
    int fd, n;

    n = snprintf(path, sizeof path, "%s/%s", dir && dir[0] ? dir : TZDATA, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    known = read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "TZif", 4) == 0;
    close(fd);
    return known;
}

void zone_free(struct zone *z)
{
    if (!z)
        return;
    g_time_zone_unref(z->rules);
    free(z);
}

struct civil zone_civil(const struct zone *z, int64_t seconds)
{
    gint interval = g_time_zone_find_interval(z->rules, G_TIME_TYPE_UNIVERSAL, seconds);
    int64_t local = seconds + g_time_zone_get_offset(z->rules, interval);

    return civil_of_days(floor_div(local, SECONDS_PER_DAY));
}

int64_t zone_civil_start(const struct zone *z, struct civil day)
{
    int64_t days = civil_days(day);
    int64_t before = days * SECONDS_PER_DAY - OFF_BY_MOST;
    int64_t after = days * SECONDS_PER_DAY + OFF_BY_MOST;

    day = civil_of_days(days);
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;

        if (civil_is_before(zone_civil(z, middle), day))
            before = middle;
        else
            after = middle;
    }
    return after;
}

struct zones *zones_new(void)
{
    return xcalloc(1, sizeof(struct zones));
}

void zones_free(struct zones *z)
{
    if (!z)
        return;
    while (z->first) {
        struct open_zone *o = z->first;
        z->first = o->next;
        zone_free(o->zone);
        free(o);
    }
    free(z);
}

bool zones_find(struct zones *z, const char *name, const struct zone **out, struct err *err)
{
    struct open_zone *known = z->first;
    struct zone *zone;
    struct err why;

    while (known && strcmp(known->name, name) != 0)
        known = known->next;
    if (!known && name[0]) {
        zone = zone_open(name, &why);
        if (!zone)
            return err_set(err, ERR_UNAVAILABLE, "%s", why.text);
        known = xcalloc(1, sizeof *known);
        memcpy(known->name, name, strlen(name) + 1);
        known->zone = zone;
        known->next = z->first;
        z->first = known;
    }
    *out = known ? known->zone : NULL;
    return true;
}
