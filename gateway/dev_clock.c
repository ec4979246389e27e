/* dev_clock.c - the newest record is not newer than the last write to any file of the journal,
 * whose time the machine keeps; plus the offset of then, that is a time of this installation. */
#include "gateway/dev_clock.h"

#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

#define COARSE_NANOS (20 * NANOS_PER_MS) /* a file's time is that of the kernel's last tick */

static int64_t last_write(const char *path, int depth);

bool dev_clock_set(const char *time, const char *journal, int64_t *offset_ms, struct err *err)
{
    int64_t wanted, real, newest = last_write(journal, 2);
    char wanted_text[CLOCK_TEXT], newest_text[CLOCK_TEXT];

    clock_set_offset(0);
    real = clock_now();
    clock_set_offset(*offset_ms * NANOS_PER_MS);
    if (!time)
        return true;
    if (!clock_parse(span_of(time), &wanted, err))
        return err_context(err, "--clock");
    newest = newest ? newest + COARSE_NANOS + *offset_ms * NANOS_PER_MS : wanted;
    if (wanted < newest)
        return err_set(err, ERR_DENIED,
                       "--clock %s is before what this state has last written, at %s",
                       clock_format(wanted, wanted_text), clock_format(newest, newest_text));
    *offset_ms = (wanted - real) / NANOS_PER_MS;
    clock_set_offset(*offset_ms * NANOS_PER_MS);
    return true;
}

/* Of the files at most `depth` directories below; 0: there are none. */
static int64_t last_write(const char *path, int depth)
{
    int64_t newest = 0;
    char **names = NULL;
    size_t count = 0;
    struct stat st;

    if (stat(path, &st) != 0)
        return 0;
    if (S_ISREG(st.st_mode))
        return st.st_mtim.tv_sec * NANOS_PER_SECOND + st.st_mtim.tv_nsec;
    if (depth == 0 || !dir_list(path, &names, &count, NULL))
        return 0;
    for (size_t i = 0; i < count; i++) {
        AUTO_STRING child = path_join(path, names[i]);
        int64_t at = last_write(child, depth - 1);

        if (at > newest)
            newest = at;
    }
    dir_names_free(names, count);
    return newest;
}
