/* The load generator for Socket.IO servers and their like. See ../README.md. */
#include "load.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    void (*run)(void);
} workloads[] = {
    {"broadcast", run_broadcast}, {"listen", run_listen}, {"echo", run_echo},
    {"connects", run_connects}, {"idle", run_idle},
};

/* Let this process have as many sockets as the system allows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int count, char **arguments)
{
    options_parse(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    loop_open();
    for (size_t index = 0; index < sizeof workloads / sizeof *workloads; index++) {
        if (strcmp(options.workload, workloads[index].name) == 0) {
            workloads[index].run();
            return totals.failed > 0 ? 2 : 0;
        }
    }
    fail("no workload is called %s", options.workload);
}
