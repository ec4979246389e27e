/* log.h - one line of JSON a message on stderr: time, level, process name, event, text.
 * `event` is a short stable word ("journal_sync_failed") to search and alarm on; the text is for a person.
 * Nothing secret, no prompt, no answer is ever passed here. */
#ifndef TOLLGATE_BASE_LOG_H
#define TOLLGATE_BASE_LOG_H

#include "lib/base/attr.h"
#include "lib/base/err.h"

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
    LOG_OUTCOME /* of what somebody asked for and waits for: told as info, whatever the level */
};

void log_set_level(enum log_level level);
bool log_level_parse(const char *word, enum log_level *out) MUST_USE; /* debug, info, warn, error */
void log_set_process(const char *name); /* "master", "worker 0", "console"; copied */
void log_write(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)    log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_outcome(...) log_write(LOG_OUTCOME, __VA_ARGS__)

#endif
