/* history.h - calls of an account however old they are: Redis's recent ones, then, if some of the
 * account's were trimmed, the archive's. Callbacks are those of recent.h. */
#ifndef TOLLGATE_GATEWAY_HISTORY_H
#define TOLLGATE_GATEWAY_HISTORY_H

#include "gateway/recent.h"

/* Where older calls are asked for: the console reads the archive (past_reader.h), a worker asks the
 * console (past_client.h). */
struct past_page {
    char account[ID_TEXT];
    char before[REQUEST_ID_TEXT]; /* goes on behind this call; "": begins with the newest */
    int64_t until_ms;             /* only what had ended by then; 0: whatever it is */
    size_t limit;
};
struct past {
    void (*find)(void *arg, const char *account, const char *request_id,
                 recent_on_record *on_record, void *on_arg); /* account "": any */
    /* Newest first by (ended_at, request id), without those that stand in Redis's index. */
    void (*list)(void *arg, const struct past_page *page, recent_on_records *on_records,
                 void *on_arg);
    void *arg;
};

struct history {
    struct loop *loop;
    struct redis *redis;
    struct past past;
};
/* One call. A patient search waits up to 2 s for one that may still be on its way to Redis. */
void history_find(const struct history *h, const char *account, const char *request_id,
                  bool is_patient, recent_on_record *on_record, void *arg);
/* As recent_list(). */
void history_list(const struct history *h, const char *account, const char *before, size_t limit,
                  recent_on_records *on_records, void *arg);

#endif
