/* Time, the server's CPU and memory, percentiles, and what went wrong. */
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct totals totals;

uint64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static bool read_process(int pid, const char *file, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    FILE *stream = fopen(path, "r");
    if (stream == NULL)
        return false;
    size_t count = fread(text, 1, size - 1, stream);
    fclose(stream);
    text[count] = 0;
    return count > 0;
}

/* The user and system time of all threads of a process (proc(5), "/proc/pid/stat"). */
uint64_t cpu_us(int pid)
{
    char text[1024];
    unsigned long long user, system;
    if (!read_process(pid, "stat", text, sizeof text))
        fail("process %d is gone", pid);
    const char *rest = strrchr(text, ')'); /* the name before it may hold anything */
    if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                               &user, &system) != 2)
        fail("cannot read the CPU time of process %d", pid);
    return (user + system) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/*
 * How long a process's first thread waited for its core while others had it (the kernel's
 * sched-stats.rst, "/proc/<pid>/schedstat").
 */
uint64_t waited_us(int pid)
{
    char text[256];
    unsigned long long waited;
    if (!read_process(pid, "schedstat", text, sizeof text) || sscanf(text, "%*u %llu", &waited) != 1)
        return 0;
    return waited / 1000;
}

uint64_t resident_bytes(int pid)
{
    char text[256];
    unsigned long long pages;
    if (!read_process(pid, "statm", text, sizeof text) || sscanf(text, "%*u %llu", &pages) != 1)
        fail("cannot read the memory of process %d", pid);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t memory_now(void)
{
    uint64_t sum = 0;
    for (int index = 0; index < options.pid_count; index++)
        sum += resident_bytes(options.pids[index]);
    return sum;
}

enum { WATCH_INTERVAL = 50000 };
static uint64_t marked, highest, watched;

void memory_mark(void)
{
    if (marked == 0)
        marked = highest = memory_now();
}

void memory_watch(void)
{
    uint64_t now = now_us();
    if (now - watched < WATCH_INTERVAL)
        return;
    watched = now;
    uint64_t memory = memory_now();
    if (memory > highest)
        highest = memory;
}

uint64_t memory_growth(void)
{
    return highest - marked;
}

void samples_add(struct samples *samples, uint64_t value)
{
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 1 << 16;
        samples->values = realloc(samples->values, samples->capacity * sizeof *samples->values);
        if (samples->values == NULL)
            fail("no memory");
    }
    samples->values[samples->count++] = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

uint32_t samples_percentile(struct samples *samples, double percent)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->values, samples->count, sizeof *samples->values, compare);
    size_t index = (size_t)((double)(samples->count - 1) * percent / 100 + 0.5);
    return samples->values[index];
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* Count what went wrong with one client, and say what it was the first few times. */
void note_failure(const char *format, ...)
{
    va_list arguments;
    if (totals.failed++ >= 5)
        return;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}
