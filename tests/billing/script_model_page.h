/* script_model_page.h - how the model of a partition is written down: lines as Redis is compared with, key by key, of which each
 * script_model_render*.c knows some. */
#ifndef TOLLGATE_TESTS_SCRIPT_MODEL_PAGE_H
#define TOLLGATE_TESTS_SCRIPT_MODEL_PAGE_H

#include "tests/billing/script_model.h"

struct page {
    const struct model *m;
    struct buf *out;
    int64_t now_us;
};

/* "tg:{a17}:account:acct0 balance = " */
void page_key(const struct page *p, const char *what, const char *rest);

/* script_model_render_account.c: accounts and keys, */
void account_lines(const struct page *p, unsigned account);
void foreign_lines(const struct page *p, unsigned account);
void debit_lines(const struct page *p, unsigned account);
void key_lines(const struct page *p, unsigned key);
/* script_model_render_hold.c: what is held of them and booked of their rates; */
void hold_lines(const struct page *p, unsigned account);
void rate_lines(const struct page *p, const char *what, const char *id, const struct model_rate *r);
void swept_lines(const struct page *p);
/* script_model_render_sale.c: refunds, what models earned, and the catalogue. */
void refund_lines(const struct page *p, unsigned request);
void refunded_lines(const struct page *p);
void gross_lines(const struct page *p);
void catalogue_lines(const struct page *p);

#endif
