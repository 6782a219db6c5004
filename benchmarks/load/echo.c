/* Acknowledged echo: each client keeps a number of events on their way, and times each answer. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

static struct client *clients;
static struct samples latencies;
static bool sending, measuring;
static int in_flight;

enum { WINDOW = 64 };

static void send_event(struct client *client)
{
    size_t size = (size_t)options.size + 128;
    char *arguments = malloc(size);
    if (arguments == NULL)
        fail("no memory");
    const char *payload = payload_text(client->sent);
    if (options.structured)
        snprintf(arguments, size, "{\"id\":%u,\"name\":\"%s\",\"tags\":[\"a\",\"b\",\"c\"]}",
                 client->sent, payload);
    else
        snprintf(arguments, size, "\"%s\"", payload);
    client->sent_at[client->sent % WINDOW] = now_us();
    client_emit(client, options.event, client->sent, arguments);
    free(arguments);
    client->sent++;
    in_flight++;
}

static void on_message(struct client *client, const char *text, size_t size)
{
    int64_t id;
    uint32_t number;
    if (!client_acknowledged(text, size, &id)) {
        totals.wrong++;
        return;
    }
    const char *data = payload_find(text, size);
    if (data == NULL || !payload_check(data, (size_t)(text + size - data), false, &number)
        || number != (uint32_t)id || number >= client->sent) {
        totals.wrong++;
        return;
    }
    uint64_t *sent_at = &client->sent_at[number % WINDOW];
    if (*sent_at == 0) {
        totals.duplicate++;
        return;
    }
    in_flight--;
    if (measuring) {
        totals.done++;
        samples_add(&latencies, now_us() - *sent_at);
    }
    *sent_at = 0;
    if (sending)
        send_event(client);
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

void run_echo(void)
{
    payload_open();
    clients = calloc((size_t)options.clients, sizeof *clients);
    if (clients == NULL)
        fail("no memory");
    for (int index = 0; index < options.clients; index++)
        clients[index].number = index;
    handlers.message = on_message;
    connect_all(clients, options.clients, NULL);
    sending = true;
    for (int round = 0; round < options.in_flight; round++)
        for (int index = 0; index < options.clients; index++)
            send_event(&clients[index]);
    struct window window = measure(begin, end);
    if (!drain(landed)) {
        totals.lost += (uint64_t)in_flight;
        note_failure("%d events were not acknowledged", in_flight);
    }
    print_result(&window, &latencies);
}
