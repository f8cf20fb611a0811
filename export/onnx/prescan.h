/* SPDX-License-Identifier: Apache-2.0 */
/* The first look at a file in protobuf's wire format, before protobuf-c sees it: one loop, no recursion, no allocation
 * that the bytes could blow up. It checks
 *   - varints end within 10 bytes and within their message, field numbers are not 0, wire types are known and those that
 *     the schema gives a field, packed numbers fill their field, strings hold no zero byte (they become C strings);
 *   - lengths stay within the message around them;
 *   - messages nest no deeper than NORNI_PRESCAN_DEPTH;
 *   - what protobuf-c will allocate for the messages stays within a limit: a message of two bytes becomes a structure of
 *     hundreds.
 * It then writes a slimmed copy, in which the large data of every TensorProto, wherever it stands, is replaced by a field
 * `payload`: an index into a table of places in the file. Data of tensors are never copied, and a file of more than 2
 * GiB becomes metadata that protobuf-c can read. */
#ifndef NORNI_PRESCAN_H
#define NORNI_PRESCAN_H
#include "base/status.h"
#include "base/vec.h"
#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

enum {
    NORNI_PRESCAN_DEPTH = 100,  /* as Google's parser has it: what deeper files would nest is no network */
    NORNI_PRESCAN_SMALL = 1024, /* data of fewer bytes stay in the metadata */
    NORNI_PRESCAN_RESERVED = 536870911 /* number of the field `payload` */
};

/* Data of a tensor: the content of its field `number`, at `offset` in the file. */
typedef struct {
    uint32_t number;
    size_t offset, bytes;
} norni_payload;

typedef struct {
    uint8_t *slim;
    size_t slim_bytes;
    NORNI_VEC(norni_payload) payloads; /* in the file's order */
    size_t messages, fields;
    uint64_t unpacked_bytes; /* at most what protobuf-c will allocate */
} norni_prescan;

/* The limit for unpacked_bytes that suits a file: 64 MiB and 64 for each byte, but no more than `most` (0: 4 GiB). Real
 * models need 5 to 10 for each byte of metadata. */
uint64_t norni_prescan_limit(size_t file_bytes, uint64_t most);
/* Scans a message of type `root`. Errors: NORN_PARSE, naming the byte, the place in the message and what was wanted;
 * NORN_NOMEM when the limit is passed. After an error there is nothing to free. */
norn_status norni_prescan_run(const uint8_t *data, size_t bytes, const ProtobufCMessageDescriptor *root,
                              uint64_t limit, norni_prescan *out);
void norni_prescan_free(norni_prescan *s);

#endif
