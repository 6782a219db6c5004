/*
 * Members of a room who join it and never read again. The server has to keep or drop what it sends
 * them, and to cut them in the end; they do not even notice that.
 */
#include "load.h"

#include <stdlib.h>

static struct client *deaf;
static int joined;

static void join(struct client *client)
{
    client_emit(client, "join", 0, "\"room0\"");
}

/* Take a message of such a client, who waits for the answer to its join; false of any other. */
bool deaf_message(struct client *client, const char *text, size_t size)
{
    int64_t id;
    if (!client->connection.deaf)
        return false;
    if (!client->joined && client_acknowledged(text, size, &id)) {
        client->joined = true;
        joined++;
        connection_ignore(&client->connection);
    }
    return true;
}

static bool all_joined(void)
{
    return joined == options.deaf || totals.failed > 0;
}

void deaf_enter(void)
{
    deaf = calloc((size_t)options.deaf, sizeof *deaf);
    if (deaf == NULL)
        fail("no memory");
    for (int index = 0; index < options.deaf; index++) {
        deaf[index].number = options.clients + index;
        deaf[index].connection.deaf = true;
    }
    connect_all(deaf, options.deaf, join);
    if (!loop_run(now_us() + 30 * 1000000ull, all_joined) || totals.failed > 0)
        fail("%d of %d deaf clients joined", joined, options.deaf);
}
