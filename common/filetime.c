/* SPDX-License-Identifier: MPL-2.0 */
#include "filetime.h"

#define NS_PER_S 1000000000

uint64_t filetime_pack (struct timespec time)
{
    int64_t ns;
    if (__builtin_mul_overflow ((int64_t)time.tv_sec, NS_PER_S, &ns) ||
        __builtin_add_overflow (ns, (int64_t)time.tv_nsec, &ns))
        ns = time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns == -1 ? 0 : (uint64_t)ns; /* -1 would be "not given" */
}

struct timespec filetime_unpack (uint64_t packed)
{
    int64_t ns = (int64_t)packed;
    int64_t rest = ns % NS_PER_S;
    rest += rest < 0 ? NS_PER_S : 0;
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S - (ns % NS_PER_S < 0)),
                             .tv_nsec = (long)rest};
}
