/* Files: whole or unchanged after a failure at every step, locks that follow their process. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "tests/base/run.h"

/* The n-th of these calls from now on fails with EIO; negative: none. Writes may be cut to one byte. */
static int fail_in = -1;
static bool short_writes;

static bool fails(void)
{
    if (fail_in < 0 || fail_in-- > 0)
        return false;
    errno = EIO;
    return true;
}

ssize_t __real_write(int fd, const void *bytes, size_t n);
int __real_fsync(int fd);
int __real_fchmod(int fd, mode_t mode);
int __real_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
int __wrap_fsync(int fd);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_rename(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    static unsigned calls;

    if (short_writes && calls++ % 2) {
        errno = EINTR;
        return -1;
    }
    return fails() ? -1 : __real_write(fd, bytes, short_writes && n ? 1 : n);
}

int __wrap_fsync(int fd)
{
    return fails() ? -1 : __real_fsync(fd);
}

int __wrap_fchmod(int fd, mode_t mode)
{
    return fails() ? -1 : __real_fchmod(fd, mode);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails() ? -1 : __real_rename(from, to);
}

int __wrap_link(const char *from, const char *to)
{
    return fails() ? -1 : __real_link(from, to);
}

static void has(const char *path, const char *expected)
{
    AUTO_CLEAR(buf) b = {.max = 1000};

    ck_assert(file_read(path, &b, NULL));
    ck_assert_str_eq(buf_span(&b).data, expected);
}

/* Hidden ones included. */
static unsigned entries(void)
{
    DIR *dir = opendir(".");
    unsigned n = 0;

    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2;
}

START_TEST(a_file_is_read_whole_after_what_is_there)
{
    AUTO_CLEAR(buf) b = {.max = 300000};
    AUTO_CLEAR(buf) large = {.max = 300000};

    buf_add_string(&b, "before ");
    ck_assert(file_write_atomic("a", 0600, SPAN("after"), NULL));
    ck_assert(file_read("a", &b, NULL));
    ck_assert_str_eq(b.data, "before after");
    for (int i = 0; i < 50000; i++)
        buf_printf(&large, "%d", i);
    ck_assert(file_write_atomic("b", 0600, buf_span(&large), NULL));
    buf_truncate(&b, 0);
    ck_assert(file_read("b", &b, NULL));
    ck_assert(span_equal(buf_span(&b), buf_span(&large)));
    ck_assert(file_write_atomic("empty", 0600, SPAN(""), NULL));
    has("empty", "");
}
END_TEST

START_TEST(a_file_may_be_as_large_as_the_maximum_and_no_larger)
{
    AUTO_CLEAR(buf) b = {.max = 7};
    struct err err;

    ck_assert(file_write_atomic("a", 0600, SPAN("12345"), NULL));
    buf_add_string(&b, "xy");
    ck_assert(file_read("a", &b, &err));
    ck_assert_str_eq(b.data, "xy12345");
    buf_truncate(&b, 3);
    ck_assert(!file_read("a", &b, &err));
    ck_assert_int_eq(err.code, ERR_LIMIT);
    ck_assert_str_eq(b.data, "xy1");
    ck_assert(buf_ok(&b, "b", NULL));
}
END_TEST

START_TEST(what_cannot_be_read_is_named)
{
    AUTO_CLEAR(buf) b = {.max = 7};
    struct err err;

    ck_assert(!file_read("none", &b, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.text, "none"));
    ck_assert(!file_read(".", &b, &err));
    ck_assert_int_eq(err.code, ERR_IO);
}
END_TEST

START_TEST(a_written_file_has_its_mode_whatever_the_umask)
{
    struct stat st;

    umask(0777);
    ck_assert(file_write_atomic("a", 0644, SPAN("x"), NULL));
    ck_assert_int_eq(stat("a", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0644);
}
END_TEST

START_TEST(replacing_leaves_the_old_file_or_the_new_and_nothing_else)
{
    bool done = false;

    ck_assert(file_write_atomic("a", 0600, SPAN("old"), NULL));
    for (int n = 0; !done; n++) {
        struct err err = {0};

        fail_in = n;
        done = file_write_atomic("a", 0600, SPAN("new"), &err);
        ck_assert(done || err.code == ERR_IO);
        ck_assert_uint_eq(entries(), 1);
        has("a", n < 4 ? "old" : "new"); /* write, chmod, sync, rename; then the folder's sync */
        ck_assert_int_le(n, 5);
    }
    has("a", "new");
}
END_TEST

START_TEST(a_new_file_appears_whole_or_not_at_all)
{
    bool done = false;

    for (int n = 0; !done; n++) {
        fail_in = n;
        done = file_write_new("a", 0600, SPAN("new"), NULL);
        if (n < 4)
            ck_assert_uint_eq(entries(), 0);
        else
            has("a", "new");
        if (n == 4)
            unlink("a");
        ck_assert_int_le(n, 5);
    }
    ck_assert_uint_eq(entries(), 1);
}
END_TEST

START_TEST(a_taken_name_is_never_replaced)
{
    struct err err;

    ck_assert(file_write_new("a", 0600, SPAN("first"), &err));
    ck_assert(!file_write_new("a", 0600, SPAN("second"), &err));
    ck_assert_int_eq(err.code, ERR_EXISTS);
    has("a", "first");
    ck_assert_uint_eq(entries(), 1);
}
END_TEST

START_TEST(short_and_interrupted_writes_are_continued)
{
    short_writes = true;
    ck_assert(file_write_atomic("a", 0600, SPAN("a longer text"), NULL));
    short_writes = false;
    has("a", "a longer text");
}
END_TEST

START_TEST(a_folder_comes_with_its_parents)
{
    struct err err;
    struct stat st;

    ck_assert(dir_ensure("x/y//z/", 0700, &err));
    ck_assert(dir_ensure("x/y/z", 0700, &err));
    ck_assert_int_eq(stat("x/y/z", &st), 0);
    ck_assert(S_ISDIR(st.st_mode));
    ck_assert(file_write_atomic("f", 0600, SPAN("x"), NULL));
    ck_assert(!dir_ensure("f", 0700, &err));
    ck_assert(!dir_ensure("f/g", 0700, &err));
    ck_assert(dir_ensure("/", 0700, &err));
    ck_assert(dir_ensure(".", 0700, &err));
}
END_TEST

START_TEST(a_listing_is_sorted_and_without_hidden_names)
{
    static const char *const files[] = {"b", "a", ".hidden", "B", "10", "9", "\xc3\xa9"};
    static const char *const sorted[] = {"10", "9", "B", "a", "b", "\xc3\xa9"};
    char **names;
    size_t count;
    struct err err;

    ck_assert(dir_list(".", &names, &count, &err));
    ck_assert_uint_eq(count, 0);
    dir_names_free(names, count);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        ck_assert(file_write_new(files[i], 0600, SPAN(""), NULL));
    ck_assert(dir_list(".", &names, &count, &err));
    ck_assert_uint_eq(count, ARRAY_LEN(sorted));
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(names[i], sorted[i]);
    dir_names_free(names, count);
    ck_assert(dir_list_all(".", &names, &count, &err));
    ck_assert_uint_eq(count, ARRAY_LEN(sorted) + 1);
    ck_assert_str_eq(names[0], ".hidden");
    for (size_t i = 1; i < count; i++)
        ck_assert_str_eq(names[i], sorted[i - 1]);
    dir_names_free(names, count);
    ck_assert(!dir_list("none", &names, &count, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

/* What a child does with the lock at "l", by its exit status. */
static int child_takes(void)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct err err = {0};
        char held_by[64];
        struct file_lock *lock = file_lock_take("l", &err);

        snprintf(held_by, sizeof held_by, "process %ld", (long)getppid());
        _exit(lock ? 1 : err.code == ERR_EXISTS && strstr(err.text, held_by) ? 2 : 3);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

START_TEST(one_process_holds_a_lock_and_the_other_learns_who)
{
    AUTO(file_lock) lock = file_lock_take("l", NULL);
    struct stat st;

    ck_assert_ptr_nonnull(lock);
    ck_assert_int_eq(stat("l", &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(child_takes(), 2);
    file_lock_free(KEEP(lock));
    ck_assert_int_eq(child_takes(), 1);
}
END_TEST

START_TEST(the_owner_can_be_asked_for_without_disturbing)
{
    AUTO(file_lock) lock = NULL;

    ck_assert_int_eq(file_lock_owner("l"), 0);
    lock = file_lock_take("l", NULL);
    ck_assert_int_eq(file_lock_owner("l"), getpid());
    ck_assert_int_eq(child_takes(), 2);
    file_lock_free(KEEP(lock));
    ck_assert_int_eq(file_lock_owner("l"), 0);
}
END_TEST

START_TEST(a_lock_dies_with_its_process)
{
    int ready[2];
    pid_t child;
    char c;

    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        struct file_lock *lock = file_lock_take("l", NULL);

        if (!lock || __real_write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    ck_assert_int_eq(read(ready[0], &c, 1), 1);
    ck_assert_int_eq(file_lock_owner("l"), child);
    ck_assert_ptr_null(file_lock_take("l", NULL));
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(file_lock_owner("l"), 0);
    file_lock_free(file_lock_take("l", NULL));
}
END_TEST

START_TEST(a_child_that_frees_its_copy_takes_nothing_from_its_parent)
{
    AUTO(file_lock) lock = file_lock_take("l", NULL);
    pid_t child = fork();

    if (child == 0) {
        file_lock_free(lock);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(child_takes(), 2);
}
END_TEST

START_TEST(a_lock_is_not_inherited_over_exec)
{
    AUTO(file_lock) lock = file_lock_take("l", NULL);
    pid_t child = fork();

    if (child == 0) {
        execlp("sleep", "sleep", "30", (char *)NULL);
        _exit(1);
    }
    file_lock_free(KEEP(lock));
    for (int i = 0; i < 6000 && file_lock_owner("l") != 0; i++)
        usleep(10000);
    ck_assert_int_eq(file_lock_owner("l"), 0);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

START_TEST(paths_are_joined_by_one_slash)
{
    AUTO_STRING plain = path_join("a/b", "c");
    AUTO_STRING root = path_join("/", "c");

    ck_assert_str_eq(plain, "a/b/c");
    ck_assert_str_eq(root, "/c");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("file");

    tcase_add_checked_fixture(tcase, enter_scratch_folder, leave_scratch_folder);
    tcase_add_test(tcase, a_file_is_read_whole_after_what_is_there);
    tcase_add_test(tcase, a_file_may_be_as_large_as_the_maximum_and_no_larger);
    tcase_add_test(tcase, what_cannot_be_read_is_named);
    tcase_add_test(tcase, a_written_file_has_its_mode_whatever_the_umask);
    tcase_add_test(tcase, replacing_leaves_the_old_file_or_the_new_and_nothing_else);
    tcase_add_test(tcase, a_new_file_appears_whole_or_not_at_all);
    tcase_add_test(tcase, a_taken_name_is_never_replaced);
    tcase_add_test(tcase, short_and_interrupted_writes_are_continued);
    tcase_add_test(tcase, a_folder_comes_with_its_parents);
    tcase_add_test(tcase, a_listing_is_sorted_and_without_hidden_names);
    tcase_add_test(tcase, one_process_holds_a_lock_and_the_other_learns_who);
    tcase_add_test(tcase, the_owner_can_be_asked_for_without_disturbing);
    tcase_add_test(tcase, a_lock_dies_with_its_process);
    tcase_add_test(tcase, a_child_that_frees_its_copy_takes_nothing_from_its_parent);
    tcase_add_test(tcase, a_lock_is_not_inherited_over_exec);
    tcase_add_test(tcase, paths_are_joined_by_one_slash);
    return run_tests(tcase, "file");
}
