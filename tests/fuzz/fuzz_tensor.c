/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer entry: any bytes are a tensor file or an error, in each format: .npy, .npz, .png, .pb, and a data set in IDX. What
 * loads saves and loads again as the same. */
#include <norn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char folder[64], path[96], copy[96];

static void must(bool ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, norn_error());
        abort();
    }
}

static void clean_up(void) {
    (void)unlink(path);
    (void)unlink(copy);
    (void)rmdir(folder);
}

static bool put(const char *name, const uint8_t *data, size_t bytes) {
    if (!*folder) {
        snprintf(folder, sizeof folder, "/tmp/norn-fuzz-XXXXXX");
        if (!mkdtemp(folder))
            exit(1);
        atexit(clean_up);
    }
    if (*path)
        (void)unlink(path);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(data, 1, bytes, f) == bytes;
    if (f)
        ok = fclose(f) == 0 && ok;
    return ok;
}

static void tensor(void) {
    norn_tensor *t, *again;
    if (norn_tensor_load(path, &t) != NORN_OK)
        return;
    snprintf(copy, sizeof copy, "%s/copy.pb", folder);
    if (norn_tensor_bytes(t) < 1 << 20) {
        must(norn_tensor_save(t, copy) == NORN_OK, "what loads does not save");
        must(norn_tensor_load(copy, &again) == NORN_OK, "what was saved does not load");
        must(norn_tensor_bytes(t) == norn_tensor_bytes(again) &&
                 (!norn_tensor_bytes(t) ||
                  !memcmp(norn_tensor_data(t), norn_tensor_data(again), norn_tensor_bytes(t))),
             "what was saved differs");
        norn_tensor_free(again);
    }
    norn_tensor_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const names[] = {"a.npy", "a.npz", "a.png", "a.pb"};
    norn_dataset *ds;
    if (!bytes)
        return 0;
    /* The first byte picks the format, so that a corpus keeps them apart. */
    unsigned kind = data[0] % 6;
    if (kind < 4) {
        if (put(names[kind], data + 1, bytes - 1))
            tensor();
    } else if (put(kind == 4 ? "a-images-idx3-ubyte" : "a.npz", data + 1, bytes - 1) &&
               norn_dataset_open(path, NULL, &ds) == NORN_OK)
        norn_dataset_close(ds);
    return 0;
}
