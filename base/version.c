/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include <norn.h>

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

const char *norn_version(void) {
    return TEXT(NORN_VERSION_MAJOR) "." TEXT(NORN_VERSION_MINOR) "." TEXT(NORN_VERSION_PATCH);
}

void norn_text_free(char *text) {
    norni_free(text);
}
