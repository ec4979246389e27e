/* journal_home.h - a journal's directory: whose it is, that one process has it, and whether it may be used at all.
 *
 * `writer` is JSON {"format":1,"writer","installation","created_at"}; `lock` is held by the process that has it; `registered`
 * stands once archive/writers/ knows the writer, so no record can be older than it; `damaged` has the sentence that says why
 * nobody may use the directory until an operator has looked; `turns` counts how often it was taken. */
#ifndef TOLLGATE_BILLING_JOURNAL_HOME_H
#define TOLLGATE_BILLING_JOURNAL_HOME_H

#include "billing/record.h"
#include "billing/segment.h"
#include "lib/base/file.h"

struct journal_home {
    char *path;
    char writer[WRITER_TEXT];
    char installation[INSTALLATION_TEXT];
    bool registered;
    uint64_t turn; /* this taking's number, larger than every earlier one's; 0: it could not be written */
    struct file_lock *lock;
};

/* root/0001 for number 1; caller frees. */
char *journal_home_path(const char *root, unsigned number) MUST_USE;
/* True for names that journal_home_path() makes. */
bool journal_home_is_name(const char *name);

/* Locks the directory, making it and minting its writer if need be. ERR_EXISTS: somebody has it. ERR_CORRUPT: it is marked as
 * damaged (the sentence says why). ERR_INPUT: it belongs to another installation. */
bool journal_home_take(const char *path, const char *installation, struct journal_home *out,
                       struct err *err) MUST_USE;
void journal_home_clear(struct journal_home *h);
DEFINE_AUTO_CLEAR(journal_home)

/* Whose directory it is, without taking it. ERR_NOT_FOUND while it is being made. */
bool journal_home_identity(const char *path, struct journal_home *out, struct err *err) MUST_USE;
bool journal_home_set_registered(struct journal_home *h, struct err *err) MUST_USE;
/* Stops the directory for everybody: writes `damaged`. */
bool journal_home_set_damaged(const char *path, const char *sentence, struct err *err) MUST_USE;

#endif
