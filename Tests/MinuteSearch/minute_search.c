#include "minute_search.h"

#include <time.h>

/// Whether a minute of the clock is met. The day is looked up once for all its minutes.
static int is_met(
    const struct minute_rule *rule, int64_t local, int64_t *known_day, int *known_met) {
    if (!rule->minute[local % 60] || !rule->hour[local / 60 % 24]) return 0;
    int64_t day = local / 1440;
    if (day != *known_day) {
        time_t seconds = (time_t)(day * 86400);
        struct tm parts;
        gmtime_r(&seconds, &parts);
        int of_month = rule->day[parts.tm_mday];
        int of_week = rule->weekday[parts.tm_wday];
        *known_day = day;
        *known_met = rule->month[parts.tm_mon + 1]
            && (rule->either ? of_month || of_week : of_month && of_week);
    }
    return *known_met;
}

int64_t minute_search(
    const struct minute_rule *rule, const int64_t *starts, const int64_t *offsets, int64_t count,
    int64_t from, int64_t to, int64_t *found, int64_t limit) {
    int64_t period = 0, total = 0, known_day = -1;
    int known_met = 0;
    // Two days before: what the clocks showed until then they do not show for the first time.
    int64_t first = from - 2880;
    while (period + 1 < count && starts[period + 1] <= first) period++;
    int64_t farthest = first + offsets[period] - 1;
    for (int64_t minute = first; minute < to; minute++) {
        while (period + 1 < count && starts[period + 1] <= minute) period++;
        int64_t local = minute + offsets[period];
        int comes = 0;
        if (rule->every_hour) {
            comes = is_met(rule, local, &known_day, &known_met);
        } else {
            // One minute, or what the clocks were put forward over and the one that they were put to.
            for (int64_t reached = farthest + 1; reached <= local; reached++)
                comes |= is_met(rule, reached, &known_day, &known_met);
        }
        if (local > farthest) farthest = local;
        if (!comes || minute < from) continue;
        if (total < limit) found[total] = minute;
        total++;
    }
    return total;
}
