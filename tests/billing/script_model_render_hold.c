/* script_model_render_hold.c - holds, looks at them and rates as the model has them, line by line. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/billing/script_model_page.h"
#include "tests/billing/script_model_rate.h"

static void entry_line(const struct page *p, const char *key, const char *account, unsigned request,
                       const struct model_hold *h)
{
    if (!h->is_there)
        return;
    page_key(p, key, account);
    buf_printf(p->out, REQUEST_FMT " = ", request);
    model_render_hold(h, request, p->out);
    buf_add_char(p->out, '\n');
}

static void share_text(const struct share *s, struct buf *out)
{
    if (s->is_there)
        buf_printf(out, " %" PRId64 ":%" PRId64 ":%" PRId64, s->cost, s->finish, s->given);
    else
        buf_add_string(out, " -");
}

void model_render_hold(const struct model_hold *h, unsigned request, struct buf *out)
{
    buf_printf(out, "%" PRId64 " %s %" PRId64, h->amount, writer_texts[h->writer], h->renewed_ms);
    if (h->shares[OF_ACCOUNT].is_there || h->shares[OF_KEY].is_there) {
        buf_printf(out, " %" PRId64, h->tokens);
        share_text(&h->shares[OF_ACCOUNT], out);
        share_text(&h->shares[OF_KEY], out);
    }
    buf_printf(out, " %s " KEY_FMT " " MODEL_FMT, h->day, h->key, model_of(request));
}

static void rate_number(const struct page *p, const char *what, const char *id, const char *field,
                        int64_t n)
{
    page_key(p, what, id);
    buf_printf(p->out, "%s = %" PRId64 "\n", field, n);
}

void rate_lines(const struct page *p, const char *what, const char *id, const struct model_rate *r)
{
    if (!rate_is_kept(r, p->now_us))
        return;
    if (r->requests)
        rate_number(p, what, id, "requests", r->requests);
    if (!r->tokens)
        return;
    rate_number(p, what, id, "tokens", r->tokens);
    rate_number(p, what, id, "given", r->given);
}

void swept_lines(const struct page *p)
{
    for (size_t i = 0; i < p->m->swept_count; i++) {
        unsigned request = p->m->swept[i].request;

        page_key(p, "swept", NULL);
        buf_printf(p->out, "+ " REQUEST_FMT " " ACCOUNT_FMT " ", request, request % ACCOUNTS);
        model_render_hold(&p->m->swept[i].hold, request, p->out);
        buf_add_char(p->out, '\n');
    }
}

void hold_lines(const struct page *p, unsigned account)
{
    const struct model *m = p->m;
    char id[16], request[16];

    snprintf(id, sizeof id, ACCOUNT_FMT, account);
    for (unsigned r = account; r < REQUESTS; r += ACCOUNTS) {
        entry_line(p, "holds", id, r, &m->holds[r]);
        entry_line(p, "looks", id, r, &m->seen[r]);
        if (p->now_us / 1000 >= m->released_until[r])
            continue;
        snprintf(request, sizeof request, REQUEST_FMT, r);
        page_key(p, "released", request);
        buf_add_string(p->out, "= 1\n");
    }
    if (m->looks[account].run) {
        page_key(p, "looks", id);
        buf_printf(p->out, " run = " RUN_FMT "\n", m->looks[account].run);
        page_key(p, "looks", id);
        buf_printf(p->out, " at = %" PRId64 "\n", m->looks[account].ms);
    }
    rate_lines(p, "rate", id, &m->rates[OF_ACCOUNT][account]);
    if (m->held[account]) {
        page_key(p, "held", NULL);
        buf_printf(p->out, "has %s\n", id);
    }
}
