/* script_model_spent.c - a table of names and sums; which names a call counts under is said here once more. */
#include "tests/billing/script_model_spent.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#define NAMES_OF_A_CALL 7
#define NAME_TEXT       128

struct sum {
    char name[NAME_TEXT];
    int64_t n;
};

struct sums {
    struct sum *sum;
    size_t count;
};

PRINTF_LIKE(3, 4)
static void add(struct sums *s, int64_t n, const char *format, ...)
{
    char name[NAME_TEXT];
    size_t i = 0;
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    while (i < s->count && strcmp(s->sum[i].name, name) != 0)
        i++;
    if (i == s->count)
        memcpy(s->sum[s->count++].name, name, sizeof name);
    s->sum[i].n += n;
}

static void add_call(struct sums *s, const struct model *m, const struct fact *f)
{
    struct civil d = clock_civil(f->started_ms * NANOS_PER_MS);
    char partition[PARTITION_NAME], hash[NAME_TEXT / 2], month[16], day[16];
    const char *const windows[] = {day, month};

    snprintf(month, sizeof month, "%04d-%02d", d.year % 10000, d.month % 100);
    snprintf(day, sizeof day, "%.7s-%02d", month, d.day % 100);
    snprintf(hash, sizeof hash, "tg:{%s}:spent:" ACCOUNT_FMT ":%s:%s",
             partition_name(m->partition, partition), f->subject, month,
             currency_texts[f->currency]);
    for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
        add(s, f->amount, "%s %s account", hash, windows[i]);
        add(s, f->amount, "%s %s key:" KEY_FMT, hash, windows[i], f->key);
        add(s, f->amount, "%s %s model:" MODEL_FMT, hash, windows[i], f->model);
    }
    add(s, 1, "%s %s model:" MODEL_FMT " calls", hash, day, f->model);
}

void model_render_spent(const struct model *m, struct buf *out)
{
    struct sums s = {xcalloc(RECORDS_MAX * NAMES_OF_A_CALL, sizeof *s.sum), 0};

    for (size_t i = 0; i < m->booked_count; i++)
        if (m->booked[i].fact->kind == RECORD_CALL && !m->booked[i].reason)
            add_call(&s, m, m->booked[i].fact);
    for (size_t i = 0; i < s.count; i++)
        buf_printf(out, "%s = %" PRId64 "\n", s.sum[i].name, s.sum[i].n);
    free(s.sum);
}
