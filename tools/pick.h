/* SPDX-License-Identifier: Apache-2.0 */
/* The devices that --device names. */
#ifndef NORN_TOOLS_PICK_H
#define NORN_TOOLS_PICK_H
#include <norn.h>

enum { MAX_PICKED = 64 };

typedef struct {
    size_t n;
    size_t index[MAX_PICKED]; /* in the list of norn_devices_list */
} picked;

/* spec NULL: the default device. several false: more than one is an error. Returns the exit code; an error has been
 * printed. */
int pick_devices(const char *spec, bool several, picked *out);
norn_status open_picked(const picked *p, size_t i, norn_session **out);
const char *session_device(const norn_session *s); /* its name */

#define OPT_DEVICE(type)                                                                                     \
    {                                                                                                        \
        "device", "D", OPT_TEXT, offsetof(type, device),                                                     \
            "where to run: an index of 'norn devices', cpu, gpu, host, a vendor or part of a name; else "    \
            "the environment's NORN_DEVICE, else the first device",                                          \
            NULL, 0                                                                                          \
    }
/* For verbs that take several. */
#define OPT_DEVICES(type)                                                                                    \
    {                                                                                                        \
        "device", "D[,D]...", OPT_TEXT, offsetof(type, device),                                              \
            "where to run, one after the other: each an index of 'norn devices', cpu, gpu, host, a vendor "  \
            "or part of a name, or all; else the environment's NORN_DEVICE, else the first device",          \
            NULL, 0                                                                                          \
    }
#define OPT_JSON(type)                                                                                       \
    { "json", NULL, OPT_FLAG, offsetof(type, json), "print one JSON object", NULL, 0 }

#endif
