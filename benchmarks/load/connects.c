/*
 * Clients that come and go (connects), and clients that stay and do nothing (idle).
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

static struct client *clients;
static struct samples latencies;
static bool starting, measuring;
static int open_clients;

static void make_clients(void)
{
    clients = calloc((size_t)options.clients, sizeof *clients);
    if (clients == NULL)
        fail("no memory");
    for (int index = 0; index < options.clients; index++)
        clients[index].number = index;
}

static void start(struct client *client)
{
    client->sent_at[0] = now_us();
    open_clients++;
    client_start(client, options.ports[client->number % options.port_count]);
}

static void on_ready(struct client *client)
{
    if (measuring) {
        totals.done++;
        samples_add(&latencies, now_us() - client->sent_at[0]);
    }
    client_finish(client);
}

static void on_closed(struct client *client)
{
    open_clients--;
    if (starting)
        start(client);
}

static bool all_closed(void)
{
    return open_clients == 0;
}

static void begin(void)
{
    measuring = true;
}

static void end(void)
{
    measuring = starting = false;
}

/* Each client connects, leaves as soon as it is told that it is connected, and comes again. */
void run_connects(void)
{
    make_clients();
    handlers.ready = on_ready;
    handlers.closed = on_closed;
    starting = true;
    for (int index = 0; index < options.clients; index++)
        start(&clients[index]);
    struct window window = measure(begin, end);
    if (!drain(all_closed))
        note_failure("%d clients were not let go", open_clients);
    print_result(&window, &latencies);
}

/*
 * What the process grows by while clients connect, for each of them. The first few come before,
 * for what a server makes once.
 */
void run_idle(void)
{
    int first = options.clients / 100 + 1;
    make_clients();
    connect_all(clients, first, NULL);
    loop_run(now_us() + (uint64_t)(options.warm_up * 1e6), NULL);
    uint64_t before = memory_now(), at = now_us();
    connect_all(clients + first, options.clients - first, NULL);
    double rate = (options.clients - first) / ((double)(now_us() - at) / 1e6);
    loop_run(now_us() + (uint64_t)(options.seconds * 1e6), NULL);
    uint64_t after = memory_now();
    printf("{\"workload\": \"idle\", \"clients\": %d, \"before\": %llu, \"after\": %llu, "
           "\"bytes_each\": %.1f, \"connects_per_second\": %.1f, \"failed\": %llu, "
           "\"closed\": %llu}\n",
           options.clients, (unsigned long long)before, (unsigned long long)after,
           ((double)after - (double)before) / (options.clients - first), rate,
           (unsigned long long)totals.failed, (unsigned long long)totals.closed);
}
