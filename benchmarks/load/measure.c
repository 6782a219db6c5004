/* What all workloads do: connect their clients, measure for a time, and print the result. */
#include "load.h"

#include <stdio.h>
#include <unistd.h>

enum { AT_ONCE = 64 };
static const uint64_t CONNECT_TIME = 120 * 1000000ull, DRAIN_TIME = 10 * 1000000ull;

static struct client *waiting;
static int wanted, started, ready;
static void (*tell)(struct client *);

static void start_more(void)
{
    while (started < wanted && started - ready < AT_ONCE) {
        struct client *client = &waiting[started];
        client_start(client, options.ports[started % options.port_count]);
        started++;
    }
}

static void on_ready(struct client *client)
{
    ready++;
    if (tell)
        tell(client);
    start_more();
}

static bool all_ready(void)
{
    return ready == wanted || totals.failed > 0;
}

/* Connect clients, some at once, each to the next port in turn, and wait until all are ready. */
void connect_all(struct client *clients, int count, void (*when_ready)(struct client *))
{
    waiting = clients;
    wanted = count;
    started = ready = 0;
    tell = when_ready;
    handlers.ready = on_ready;
    start_more();
    if (!loop_run(now_us() + CONNECT_TIME, all_ready) || totals.failed > 0)
        fail("%d of %d clients connected", ready, wanted);
}

struct usage {
    uint64_t cpu, waited[MAX_PIDS + 1];
};

static struct usage read_usage(void)
{
    struct usage usage = {.cpu = 0};
    for (int index = 0; index < options.pid_count; index++) {
        usage.cpu += cpu_us(options.pids[index]);
        usage.waited[index] = waited_us(options.pids[index]);
    }
    usage.waited[options.pid_count] = waited_us(getpid());
    return usage;
}

static bool watch(void)
{
    memory_watch();
    return false;
}

/* Warm up, then measure; `end` stops the work before the last answers are awaited. */
struct window measure(void (*begin)(void), void (*end)(void))
{
    struct window window = {.waited = 0};
    loop_run(now_us() + (uint64_t)(options.warm_up * 1e6), NULL);
    memory_mark();
    struct usage before = read_usage();
    begin();
    window.start = now_us();
    loop_run(window.start + (uint64_t)(options.seconds * 1e6), watch);
    window.end = now_us();
    end();
    struct usage after = read_usage();
    window.cpu = after.cpu - before.cpu;
    for (int index = 0; index <= options.pid_count; index++) {
        double waited = (double)(after.waited[index] - before.waited[index]);
        double part = waited / (double)(window.end - window.start);
        if (part > window.waited)
            window.waited = part;
    }
    return window;
}

/* Wait for the answers that are due, or for as long as they may take. */
bool drain(bool (*done)(void))
{
    return loop_run(now_us() + DRAIN_TIME, done);
}

void print_result(const struct window *window, struct samples *latencies)
{
    double seconds = (double)(window->end - window->start) / 1e6;
    printf("{\"workload\": \"%s\", \"seconds\": %.4f, \"done\": %llu, \"per_second\": %.1f, "
           "\"cpu_us\": %llu, \"waited\": %.4f, \"cpu_us_each\": %.4f, \"p50_us\": %u, \"p99_us\": %u, "
           "\"lost\": %llu, \"duplicate\": %llu, \"wrong\": %llu, \"failed\": %llu, "
           "\"closed\": %llu, \"grown\": %llu}\n",
           options.workload, seconds, (unsigned long long)totals.done,
           (double)totals.done / seconds, (unsigned long long)window->cpu, window->waited,
           totals.done ? (double)window->cpu / (double)totals.done : 0,
           samples_percentile(latencies, 50), samples_percentile(latencies, 99),
           (unsigned long long)totals.lost, (unsigned long long)totals.duplicate,
           (unsigned long long)totals.wrong, (unsigned long long)totals.failed,
           (unsigned long long)totals.closed, (unsigned long long)memory_growth());
}
