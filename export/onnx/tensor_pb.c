/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/tensor_pb.h"
#include "export/onnx/export.h"

static norn_status read_tensor(norni_blob *source, norn_tensor **out) {
    norni_prescan scan;
    NORNI_TRY(norni_prescan_run(source->data, source->bytes, &norni_onnx__tensor_proto__descriptor,
                                norni_prescan_limit(source->bytes, 0), &scan));
    norni_arena *arena = norni_arena_new((size_t)(scan.unpacked_bytes + (1u << 20)));
    const norni_pb_tensor *t = NULL;
    norn_status s = arena ? NORN_OK : norni_nomem();
    if (s == NORN_OK && !scan.fields)
        s = norni_fail(NORN_PARSE, "the file is empty (wanted a tensor)");
    if (s == NORN_OK)
        s = norni_pb_unpack(&norni_onnx__tensor_proto__descriptor, arena, scan.slim, scan.slim_bytes, &t);
    norni_tensor_reader r = {.source = source, .scan = &scan};
    if (s == NORN_OK)
        s = norni_tensor_read(&r, t, out);
    norni_arena_free(arena);
    norni_prescan_free(&scan);
    return s;
}

norn_status norni_tensor_from_pb(const char *path, norn_tensor **out) {
    norni_blob *source;
    *out = NULL;
    NORNI_TRY(norni_blob_open(path, &source));
    norn_status s = norni_prefix(read_tensor(source, out), "%s", path);
    norni_blob_free(source);
    return s;
}

norn_status norni_tensor_from_bytes(const void *data, size_t bytes, norn_tensor **out) {
    norni_blob *source;
    *out = NULL;
    NORNI_TRY(norni_blob_memory(data, bytes, &source));
    norn_status s = read_tensor(source, out);
    norni_blob_free(source);
    return s;
}

norn_status norni_tensor_to_pb(const norn_tensor *t, const char *name, const char *path) {
    norni_exporter x = {.arena = norni_arena_new(0)};
    norni_pieces pieces = {0};
    norn_tensor *packed = NULL;
    norn_status s = x.arena ? norni_export_packed(t, &packed) : norni_nomem();
    if (s == NORN_OK && norni_tensor_bytes(packed) > INT32_MAX - 4096)
        s = norni_fail(NORN_UNSUPPORTED, "%zu bytes (a tensor file has at most 2 GiB)",
                       norni_tensor_bytes(packed));
    if (s == NORN_OK)
        s = norni_export_tensor(&x, &pieces, 0, name, packed, NULL, NULL);
    s = norni_prefix(s, "%s", path);
    if (s == NORN_OK)
        s = norni_file_write(path, pieces.v.v, pieces.v.n);
    norni_vec_free(&pieces.v);
    norn_tensor_free(packed);
    norni_arena_free(x.arena);
    return s;
}
