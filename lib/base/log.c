/* log.c - a line of log is one write(2), so lines of several processes never mix; and it never fails towards its
 * caller: a log that cannot be written must not take a call with it. */
#include "lib/base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/json.h"

#define TEXT_MAX       2048
#define LINE_MAX_BYTES 16384 /* room for a text of nothing but control characters, six bytes each */
#define NAME_MAX_BYTES 32

static void build(struct buf *line, enum log_level level, const char *event, const char *text);
static void write_without_sigpipe(struct span line);

static const char *const level_names[] = {[LOG_DEBUG] = "debug",
                                          [LOG_INFO] = "info",
                                          [LOG_WARN] = "warn",
                                          [LOG_ERROR] = "error",
                                          [LOG_OUTCOME] = "info"};

/* The only state, set when a process starts. */
static enum log_level lowest = LOG_INFO;
static char process[NAME_MAX_BYTES] = "tollgate";

void log_set_level(enum log_level level)
{
    lowest = level;
}

bool log_level_parse(const char *word, enum log_level *out)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(word, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_process(const char *name)
{
    snprintf(process, sizeof process, "%s", name);
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    AUTO_CLEAR(buf) line = {.max = LINE_MAX_BYTES};
    char text[TEXT_MAX];
    va_list args;

    if (level < lowest)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    build(&line, level, event, text);
    if (line.failed)
        write_without_sigpipe(SPAN("{\"level\":\"error\",\"event\":\"log_line_lost\"}\n"));
    else
        write_without_sigpipe(buf_span(&line));
}

static void build(struct buf *line, enum log_level level, const char *event, const char *text)
{
    struct jw w;

    jw_init(&w, line);
    jw_object(&w);
    jw_time_member(&w, "time", clock_now());
    jw_string_member(&w, "level", level_names[level]);
    jw_string_member(&w, "process", process);
    jw_string_member(&w, "event", event);
    jw_string_member(&w, "text", text);
    jw_object_end(&w);
    buf_add_char(line, '\n');
}

/* The reader of our log may be gone: hold the signal back while writing, and take away the one that we raised.
 * A plain SIG_IGN would be inherited by the programs we start. */
static void write_without_sigpipe(struct span line)
{
    const struct timespec at_once = {0};
    sigset_t pipe_only, before, pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    if (write(STDERR_FILENO, line.data, line.len) < 0 && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_only, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
