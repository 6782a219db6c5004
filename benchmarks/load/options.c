/* The command line. */
#include "load.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

struct options options = {
    .path = "/socket.io/", .event = "echo", .clients = 500, .rooms = 1, .size = 100,
    .in_flight = 4, .warm_up = 1, .seconds = 3,
};

static const struct option known[] = {
    {"workload", required_argument, NULL, 'w'}, {"dialect", required_argument, NULL, 'd'},
    {"transport", required_argument, NULL, 't'}, {"path", required_argument, NULL, 'p'},
    {"cookie", required_argument, NULL, 'k'}, {"event", required_argument, NULL, 'e'},
    {"ports", required_argument, NULL, 'P'}, {"pids", required_argument, NULL, 'I'},
    {"clients", required_argument, NULL, 'c'}, {"rooms", required_argument, NULL, 'r'},
    {"size", required_argument, NULL, 's'}, {"in-flight", required_argument, NULL, 'f'},
    {"warm-up", required_argument, NULL, 'u'}, {"seconds", required_argument, NULL, 'S'},
    {"deaf", required_argument, NULL, 'D'}, {"binary", no_argument, NULL, 'b'}, {"structured", no_argument, NULL, 'o'},
    {NULL, 0, NULL, 0},
};

static int number(const char *text, long lowest, long highest)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < lowest || value > highest)
        fail("a number from %ld to %ld is needed, not %s", lowest, highest, text);
    return (int)value;
}

static double seconds(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (*text == 0 || *end != 0 || !(value >= 0 && value <= 120))
        fail("a time from 0 to 120 seconds is needed, not %s", text);
    return value;
}

static int list(char *text, int *values, int most, long highest)
{
    int count = 0;
    for (char *part = strtok(text, ","); part; part = strtok(NULL, ",")) {
        if (count == most)
            fail("at most %d numbers are taken", most);
        values[count++] = number(part, 1, highest);
    }
    return count;
}

static int choice(const char *text, const char *first, const char *second)
{
    if (strcmp(text, first) == 0)
        return 0;
    if (strcmp(text, second) == 0)
        return 1;
    fail("%s or %s is needed, not %s", first, second, text);
}

void options_parse(int count, char **arguments)
{
    for (int name; (name = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        switch (name) {
        case 'w': options.workload = optarg; break;
        case 'd': options.dialect = choice(optarg, "socketio", "plain"); break;
        case 't': options.transport = choice(optarg, "websocket", "polling"); break;
        case 'p': options.path = optarg; break;
        case 'k': options.cookie = optarg; break;
        case 'e': options.event = optarg; break;
        case 'P': options.port_count = list(optarg, options.ports, MAX_PORTS, 65535); break;
        case 'I': options.pid_count = list(optarg, options.pids, MAX_PIDS, 1L << 30); break;
        case 'c': options.clients = number(optarg, 1, MAX_CLIENTS - 1); break;
        case 'r': options.rooms = number(optarg, 1, 1000); break;
        case 's': options.size = number(optarg, MARK_SIZE, 1 << 20); break;
        case 'f': options.in_flight = number(optarg, 1, 64); break;
        case 'u': options.warm_up = seconds(optarg); break;
        case 'S': options.seconds = seconds(optarg); break;
        case 'D': options.deaf = number(optarg, 0, 1000); break;
        case 'b': options.binary = true; break;
        case 'o': options.structured = true; break;
        default: fail("unknown option");
        }
    }
    if (options.workload == NULL || options.port_count == 0 || optind != count)
        fail("usage: load --workload NAME --ports PORT[,PORT] [--pids PID,...] [options]");
    if (options.transport == POLLING && (options.dialect == PLAIN || options.binary))
        fail("polling carries Socket.IO texts only here");
    if (options.rooms > options.clients)
        fail("more rooms than clients");
}
