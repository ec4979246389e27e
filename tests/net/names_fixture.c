/* names_fixture.c - see the header. */
#include "tests/net/names_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/net/names_server.h"

struct loop *loop;
struct addr server;
struct names *names;
static char folder[] = "/tmp/tollgate-test-names-XXXXXX";
static int listener;
static pid_t pid;

/* Of "example:80" the file "example": addresses, a line each, or "hang"; no file, no such name. */
static bool look_up_in_file(const char *text, struct addr_list *out, struct err *err)
{
    AUTO_STRING path = xasprintf("%s/%.*s", folder, (int)strcspn(text, ":"), text);
    FILE *f = fopen(path, "r");
    char line[ADDR_TEXT];

    out->count = 0;
    if (!f)
        return err_set(err, ERR_UNAVAILABLE, "there is no such name");
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "hang") == 0)
            pause();
        ck_assert(addr_parse(line, &out->addr[out->count++], err));
    }
    fclose(f);
    return true;
}

void put(const char *name, const char *text)
{
    AUTO_STRING path = xasprintf("%s/%s", folder, name);
    AUTO_STRING aside = xasprintf("%s/new", folder);
    FILE *f = fopen(aside, "w");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    ck_assert_int_eq(rename(aside, path), 0);
}

void take_away(const char *name)
{
    AUTO_STRING path = xasprintf("%s/%s", folder, name);

    ck_assert_int_eq(unlink(path), 0);
}

void start_server(void)
{
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(names_serve(listener, look_up_in_file));
    }
}

void stop_server(void)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

void setup(void)
{
    static const struct names_times quick = {.fresh_ms = 30, .retry_ms = 30, .answer_ms = 10000};
    struct err err;
    AUTO_STRING path = NULL;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    path = xasprintf("unix:%s/sock", folder);
    ck_assert(addr_parse(path, &server, &err));
    listener = addr_listen(&server, NULL, &err);
    ck_assert_int_ge(listener, 0);
    start_server();
    loop = loop_new(&err);
    names = names_new(loop, &server, &quick);
}

void teardown(void)
{
    AUTO_STRING command = xasprintf("rm -rf -- %s", folder);

    stop_server();
    names_free(names);
    loop_free(loop);
    close(listener);
    ck_assert_int_eq(system(command), 0);
}
