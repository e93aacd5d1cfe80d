#ifndef MINUTE_SEARCH_H
#define MINUTE_SEARCH_H

#include <stdint.h>

/// What the fields of a rule of cron mean: 1 for each number that is met.
struct minute_rule {
    uint8_t minute[60], hour[24], day[32], month[13], weekday[7];
    /// Days are met by one of both fields, or by both.
    int32_t either;
    /// It goes on as time goes when clocks are set.
    int32_t every_hour;
};

/// Goes through all minutes from one to another, and looks at the clock each minute: slow, and without any of what it is to check.
/// Minutes are counted since 1970.
/// @param starts  from which minutes on the clocks show which of the `offsets`, in minutes east of Greenwich; the first is not
///                after `from`
/// @param found   takes the minutes at which the rule comes, `limit` at most
/// @return how many there are
int64_t minute_search(
    const struct minute_rule *rule, const int64_t *starts, const int64_t *offsets, int64_t count,
    int64_t from, int64_t to, int64_t *found, int64_t limit);

#endif
