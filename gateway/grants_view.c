/* grants_view.c - amounts are those of one look, so paid and granted add up to the balance. */
#include "gateway/grants_view.h"

static void write_split(struct jw *w, const struct account_state *state);
static size_t kept(const struct account_state *state);
static void write_grant(struct jw *w, const struct grant_state *g);

void grants_write(struct jw *w, const struct account_state *state)
{
    write_split(w, state);
    jw_key(w, "grants");
    jw_array(w);
    for (size_t i = 0; i < kept(state); i++)
        write_grant(w, &state->grants[i]);
    jw_array_end(w);
}

static void write_split(struct jw *w, const struct account_state *state)
{
    char text[DECIMAL_TEXT];

    jw_string_member(w, "paid", decimal_format((int128)state->balance - state->granted, text));
    jw_string_member(w, "granted", decimal_format(state->granted, text));
}

static size_t kept(const struct account_state *state)
{
    return state->grant_count < GRANTS_SHOWN ? state->grant_count : GRANTS_SHOWN;
}

static void write_grant(struct jw *w, const struct grant_state *g)
{
    char text[DECIMAL_TEXT];

    jw_object(w);
    jw_string_member(w, "grant", g->op);
    jw_string_member(w, "amount", decimal_format(g->amount, text));
    jw_string_member(w, "left", decimal_format(g->left, text));
    jw_time_member(w, "expires_at", g->expires_at);
    jw_object_end(w);
}

void grants_write_next(struct jw *w, const struct account_state *state)
{
    const struct grant_state *next = NULL;
    char text[DECIMAL_TEXT];

    for (size_t i = kept(state); i-- > 0;)
        if (state->grants[i].left > 0)
            next = &state->grants[i];
    write_split(w, state);
    jw_key(w, "next_expiry");
    if (!next) {
        jw_null(w);
        return;
    }
    jw_object(w);
    jw_string_member(w, "amount", decimal_format(next->left, text));
    jw_time_member(w, "at", next->expires_at);
    jw_object_end(w);
}
