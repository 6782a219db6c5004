/*
 * Rooms of clients that receive: broadcasts that a client asks for (broadcast), and those of
 * somebody else (listen).
 *
 * The members of a room get its messages numbered from 0, each once and in order.
 */
#include "load.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 64 };

struct flight {
    uint32_t left; /* members that have not got it yet */
    uint64_t at;
};

struct room {
    uint32_t members, next;
    struct flight flights[WINDOW];
};

static struct client *members, control = {.number = -1};
static struct room *rooms;
static struct samples latencies;
static int joined, next_room, in_flight;
static bool sending, measuring, control_ready;

static void trigger(void)
{
    char arguments[128];
    char *long_arguments = NULL;
    int number = next_room++ % options.rooms;
    struct room *room = &rooms[number];
    struct flight *flight = &room->flights[room->next % WINDOW];
    flight->left = room->members;
    flight->at = now_us();
    in_flight++;
    if (options.binary) {
        snprintf(arguments, sizeof arguments,
                 "\"room%d\",{\"_placeholder\":true,\"num\":0}", number);
        client_emit_binary(&control, "publish", arguments, payload_bytes(room->next),
                           (size_t)options.size);
    } else {
        size_t size = (size_t)options.size + 64;
        long_arguments = malloc(size);
        if (long_arguments == NULL)
            fail("no memory");
        snprintf(long_arguments, size, "\"room%d\",\"%s\"", number, payload_text(room->next));
        client_emit(&control, "publish", -1, long_arguments);
        free(long_arguments);
    }
    room->next++;
}

static void complete(const struct flight *flight)
{
    in_flight--;
    if (measuring)
        samples_add(&latencies, now_us() - flight->at);
    if (sending)
        trigger();
}

/* A member got message `number` of its room. */
static void arrived(struct client *client, uint32_t number)
{
    struct room *room = &rooms[client->room];
    if (number < client->received) {
        totals.duplicate++;
        return;
    }
    totals.lost += number - client->received;
    client->received = number + 1;
    if (measuring)
        totals.done++;
    if (control.state != READY)
        return; /* nobody here asked for it */
    struct flight *flight = &room->flights[number % WINDOW];
    if (number >= room->next || flight->left == 0)
        totals.wrong++;
    else if (--flight->left == 0)
        complete(flight);
}

static void take_payload(struct client *client, const char *data, size_t size, bool binary)
{
    uint32_t number;
    if (payload_check(data, size, binary, &number))
        arrived(client, number);
    else
        totals.wrong++;
}

static void on_message(struct client *client, const char *text, size_t size)
{
    int64_t id;
    if (client->number < 0 || deaf_message(client, text, size))
        return;
    if (!client->joined) {
        if (client_acknowledged(text, size, &id)) {
            client->joined = true;
            joined++;
        }
        return;
    }
    const char *data = payload_find(text, size);
    size_t head = data ? (size_t)(data - text) : size;
    if (memmem(text, head, "\"news\"", 6) == NULL)
        totals.wrong++;
    else if (data != NULL)
        take_payload(client, data, (size_t)(text + size - data), false);
    else if (options.binary && memmem(text, size, "\"_placeholder\"", 14) != NULL)
        client->attachment_due = true;
    else
        totals.wrong++;
}

static void on_attachment(struct client *client, const char *data, size_t size)
{
    if (!client->attachment_due)
        totals.wrong++;
    else
        take_payload(client, data, size, true);
    client->attachment_due = false;
}

static void join(struct client *client)
{
    char arguments[32];
    client->room = client->number / options.port_count % options.rooms;
    rooms[client->room].members++;
    snprintf(arguments, sizeof arguments, "\"room%d\"", client->room);
    client_emit(client, "join", 0, arguments);
}

static bool all_joined(void)
{
    return joined == options.clients || totals.failed > 0;
}

static bool landed(void)
{
    return in_flight == 0;
}

static void begin(void)
{
    measuring = true;
}

static void end(void)
{
    measuring = sending = false;
}

static void connect_members(void)
{
    payload_open();
    members = calloc((size_t)options.clients, sizeof *members);
    rooms = calloc((size_t)options.rooms, sizeof *rooms);
    if (members == NULL || rooms == NULL)
        fail("no memory");
    for (int index = 0; index < options.clients; index++)
        members[index].number = index;
    handlers.message = on_message;
    handlers.attachment = on_attachment;
    connect_all(members, options.clients, join);
    if (!loop_run(now_us() + 30 * 1000000ull, all_joined) || totals.failed > 0)
        fail("%d of %d clients joined their rooms", joined, options.clients);
}

static void connect_control(struct client *client)
{
    (void)client;
    control_ready = true;
}

/* One client asks for broadcasts, a fixed number of which are on their way at any time. */
void run_broadcast(void)
{
    connect_members();
    connect_all(&control, 1, connect_control);
    sending = true;
    for (int index = 0; index < options.in_flight; index++)
        trigger();
    if (options.deaf > 0) {
        loop_run(now_us() + (uint64_t)(options.warm_up * 1e6), NULL);
        memory_mark(); /* what comes now is their cost */
        deaf_enter();
    }
    struct window window = measure(begin, end);
    if (!drain(landed))
        note_failure("%d broadcasts did not reach everybody", in_flight);
    print_result(&window, &latencies);
}

static uint32_t expected;

static bool all_received(void)
{
    return totals.done >= (uint64_t)expected * (uint64_t)options.clients;
}

/*
 * Clients that only listen, while something else sends. What that has sent is told on standard
 * input, as a number, when it has ended.
 */
void run_listen(void)
{
    struct window window = {.waited = 0};
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[32];
    connect_members();
    puts("ready");
    fflush(stdout);
    measuring = true;
    window.start = now_us();
    while (poll(&input, 1, 0) == 0 && now_us() - window.start < 120 * 1000000ull)
        loop_run(now_us() + 1000, NULL);
    window.end = now_us();
    if (fgets(line, sizeof line, stdin) == NULL || sscanf(line, "%u", &expected) != 1)
        fail("nobody told how many messages there were");
    if (!drain(all_received))
        note_failure("%llu of %llu messages arrived", (unsigned long long)totals.done,
                     (unsigned long long)expected * (unsigned long long)options.clients);
    print_result(&window, &latencies);
}
