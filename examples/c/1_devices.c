/* SPDX-License-Identifier: Apache-2.0 */
/* Level 1: devices and transfers. Usage: 1_devices [DEVICE] */
#include <norn.h>
#include <stdio.h>
#include <string.h>

#define CHECK(call)                                                                                          \
    if ((call) != NORN_OK) {                                                                                 \
        fprintf(stderr, "%s\n", norn_error());                                                               \
        return 1;                                                                                            \
    }

int main(int argc, char **argv) {
    norn_devices *list;
    CHECK(norn_devices_list(&list));
    for (size_t i = 0; i < norn_devices_count(list); i++) {
        const norn_device *d = norn_devices_at(list, i);
        printf("%zu  %s: %u units, %.1f GB%s\n", i, norn_device_name(d), norn_device_compute_units(d),
               (double)norn_device_memory_bytes(d) / 1e9, norn_device_has(d, "fp64") ? ", double" : "");
    }
    norn_devices_free(list);

    norn_context *ctx;
    CHECK(norn_context_open(argc > 1 ? argv[1] : NULL, &ctx));
    printf("using %s\n", norn_device_name(norn_context_device(ctx)));

    float there[256], back[256] = {0};
    norn_buffer *a, *b;
    for (int i = 0; i < 256; i++)
        there[i] = (float)i / 3;
    CHECK(norn_buffer_new(ctx, sizeof there, &a));
    CHECK(norn_buffer_new(ctx, sizeof there, &b));
    CHECK(norn_buffer_write(a, 0, there, sizeof there)); /* host to device */
    CHECK(norn_buffer_copy(a, 0, b, 0, sizeof there));   /* device to device */
    CHECK(norn_buffer_read(b, 0, back, sizeof back));    /* device to host */
    printf("%zu bytes there and back: %s\n", sizeof there,
           memcmp(there, back, sizeof back) ? "different" : "equal");

    norn_memory_stats memory;
    norn_context_memory(ctx, &memory);
    printf("%llu bytes in use on the device\n", (unsigned long long)memory.live_bytes);
    norn_buffer_free(a);
    norn_buffer_free(b);
    norn_context_close(ctx);
    return memcmp(there, back, sizeof back) != 0;
}
