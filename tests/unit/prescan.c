/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "export/onnx/prescan.h"
#include "export/onnx/proto.h"
#include "export/onnx/wire.h"

enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, NODE_ATTRIBUTE = 5, ATTR_T = 5, ATTR_G = 6 };
#define MODEL (&norni_onnx__model_proto__descriptor)
#define TENSOR (&norni_onnx__tensor_proto__descriptor)

static norn_status scan_limited(const norni_str *b, const ProtobufCMessageDescriptor *root, uint64_t limit,
                                norni_prescan *out) {
    return norni_prescan_run((const uint8_t *)b->s, b->n, root, limit, out);
}

static norn_status scan(const norni_str *b, const ProtobufCMessageDescriptor *root, norni_prescan *out) {
    return scan_limited(b, root, norni_prescan_limit(b->n, 0), out);
}

/* Scans what must be refused, and frees it. */
static norn_status refuse(norni_str *b, const ProtobufCMessageDescriptor *root) {
    norni_prescan s;
    norn_status st = scan(b, root, &s);
    assert_null(s.slim);
    assert_null(s.payloads.v);
    norni_str_free(b);
    return st;
}

/* bytes 0, 1, 2, ... as the raw data of a tensor. */
static norni_str tensor(const char *name, size_t bytes) {
    norni_str t = {0};
    unsigned char *raw = malloc(bytes ? bytes : 1);
    for (size_t i = 0; i < bytes; i++)
        raw[i] = (unsigned char)i;
    norni_wire_put_int(&t, 1, (int64_t)bytes);
    norni_wire_put_int(&t, 2, NORN_U8);
    norni_wire_put_string(&t, 8, name);
    norni_wire_put_bytes(&t, 9, raw, bytes);
    norni_wire_put_string(&t, 12, "behind the data");
    free(raw);
    return t;
}

static void test_varint(void **state) {
    static const struct {
        uint64_t v;
        size_t bytes;
    } cases[] = {{0, 1}, {127, 1}, {128, 2}, {16383, 2}, {16384, 3}, {UINT32_MAX, 5}, {UINT64_MAX, 10}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norni_str b = {0};
        uint64_t v = 1;
        norni_wire_put_varint(&b, cases[i].v);
        assert_int_equal(b.n, cases[i].bytes);
        assert_int_equal(norni_wire_varint_bytes(cases[i].v), cases[i].bytes);
        assert_int_equal(norni_wire_varint((const uint8_t *)b.s, b.n, &v), b.n);
        assert_true(v == cases[i].v);
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(norni_wire_varint((const uint8_t *)b.s, n, &v), 0);
        norni_str_free(&b);
    }
    uint64_t v;
    assert_int_equal(norni_wire_varint((const uint8_t *)"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, &v), 0);
}

static void test_fields(void **state) {
    norni_str b = {0};
    norni_wire_put_int(&b, 1, -5);
    norni_wire_put_float(&b, 2, 1.5f);
    norni_wire_put_string(&b, 300, "abc");
    norni_wire_put_string(&b, 3, NULL);
    const uint8_t *p = (const uint8_t *)b.s, *end = p + b.n;
    norni_wire_field f;
    assert_true(norni_wire_next(&p, end, &f) && f.number == 1 && (int64_t)f.value == -5 && f.start == (uint8_t *)b.s);
    assert_true(norni_wire_next(&p, end, &f) && f.number == 2 && f.bytes == 4);
    assert_memory_equal(f.data, "\0\0\xc0\x3f", 4);
    assert_true(norni_wire_next(&p, end, &f) && f.number == 300 && f.bytes == 3);
    assert_memory_equal(f.data, "abc", 3);
    assert_false(norni_wire_next(&p, end, &f));
    norni_str_free(&b);
}

static void test_small_data_stay(void **state) {
    norni_str model = {0}, graph = {0}, t = tensor("w", NORNI_PRESCAN_SMALL - 1);
    norni_wire_put_message(&graph, GRAPH_INITIALIZER, &t);
    norni_wire_put_message(&model, MODEL_GRAPH, &graph);
    norni_prescan s;
    WORKS(scan(&model, MODEL, &s));
    assert_int_equal(s.payloads.n, 0);
    assert_int_equal(s.slim_bytes, model.n);
    assert_memory_equal(s.slim, model.s, model.n);
    assert_int_equal(s.messages, 3);
    norni_prescan_free(&s);
    norni_str_free(&model);
}

static void check_tensor(const norni_pb_tensor *t, const norni_prescan *s, const norni_str *file, size_t bytes) {
    assert_int_equal(t->n_payload, 1);
    assert_false(t->has_raw_data);
    assert_string_equal(t->doc_string, "behind the data");
    const norni_payload *p = &s->payloads.v[t->payload[0]];
    assert_int_equal(p->number, 9);
    assert_int_equal(p->bytes, bytes);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal((unsigned char)file->s[p->offset + i], i & 255);
}

/* Tensors as initialiser, as attribute, and within a subgraph: all lengths around them shrink. */
static void test_large_data_are_cut(void **state) {
    norni_str model = {0}, graph = {0}, node = {0}, attr = {0}, inner = {0};
    norni_str a = tensor("a", 5000), b = tensor("b", 2000), c = tensor("c", 1024);
    norni_wire_put_message(&inner, GRAPH_INITIALIZER, &c);
    norni_wire_put_string(&attr, 1, "value");
    norni_wire_put_message(&attr, ATTR_T, &b);
    norni_wire_put_message(&attr, ATTR_G, &inner);
    norni_wire_put_string(&node, 4, "Constant");
    norni_wire_put_message(&node, NODE_ATTRIBUTE, &attr);
    norni_wire_put_message(&graph, GRAPH_NODE, &node);
    norni_wire_put_message(&graph, GRAPH_INITIALIZER, &a);
    norni_wire_put_string(&graph, 2, "name");
    norni_wire_put_message(&model, MODEL_GRAPH, &graph);
    norni_wire_put_string(&model, 6, "doc");
    norni_prescan s;
    WORKS(scan(&model, MODEL, &s));
    assert_int_equal(s.payloads.n, 3);
    assert_true(s.slim_bytes < 300);
    norni_arena *arena = norni_arena_new((size_t)s.unpacked_bytes);
    norni_pb_model *m;
    WORKS(norni_pb_unpack(MODEL, arena, s.slim, s.slim_bytes, &m));
    assert_string_equal(m->doc_string, "doc");
    assert_string_equal(m->graph->name, "name");
    check_tensor(m->graph->node[0]->attribute[0]->t, &s, &model, 2000);
    check_tensor(m->graph->node[0]->attribute[0]->g->initializer[0], &s, &model, 1024);
    check_tensor(m->graph->initializer[0], &s, &model, 5000);
    norni_arena_free(arena);
    norni_prescan_free(&s);
    norni_str_free(&model);
}

static void test_packed_numbers_are_cut(void **state) {
    norni_str t = {0}, ints = {0}, floats = {0};
    for (int i = 0; i < 2000; i++) {
        norni_wire_put_varint(&ints, (uint64_t)i);
        norni_str_addn(&floats, "\0\0\x80\x3f", 4);
    }
    norni_wire_put_message(&t, 7, &ints);
    norni_wire_put_message(&t, 4, &floats);
    norni_prescan s;
    WORKS(scan(&t, TENSOR, &s));
    assert_int_equal(s.payloads.n, 2);
    assert_int_equal(s.payloads.v[0].number, 7);
    assert_int_equal(s.payloads.v[1].number, 4);
    assert_int_equal(s.payloads.v[1].bytes, 8000);
    norni_prescan_free(&s);
    norni_str_free(&t);
}

/* Lengths may be written with more bytes than they need; protobuf-c would refuse some of them. */
static void test_long_lengths(void **state) {
    norni_str model = {0};
    norni_wire_put_tag(&model, MODEL_GRAPH, NORNI_WIRE_BYTES);
    norni_str_addn(&model, "\x83\x80\x80\x80\x80\x80\x80\x00", 8); /* 3 */
    norni_wire_put_string(&model, 2, "g"); /* name of the graph */
    norni_prescan s;
    WORKS(scan(&model, MODEL, &s));
    assert_int_equal(s.slim_bytes, model.n - 7);
    norni_arena *arena = norni_arena_new((size_t)s.unpacked_bytes);
    norni_pb_model *m;
    WORKS(norni_pb_unpack(MODEL, arena, s.slim, s.slim_bytes, &m));
    assert_string_equal(m->graph->name, "g");
    norni_arena_free(arena);
    norni_prescan_free(&s);
    norni_str_free(&model);
}

static norni_str bytes(const char *data, size_t n) {
    norni_str b = {0};
    norni_str_addn(&b, data, n);
    return b;
}
#define BYTES(text) bytes(text, sizeof(text) - 1)

static void test_errors(void **state) {
    norni_str b;
    b = BYTES("\x00\x01");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 0: field number 0 (wanted 1 to 536870910)");
    b = BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 1: ir_version: a number is cut off or longer than 10 bytes");
    b = BYTES("\x08");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 1: ir_version: a number is cut off");
    b = BYTES("\x80");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 0: the tag of a field is cut off or too long");
    b = BYTES("\x3a\x05\x12\x01");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 2: graph: length 5 runs past the end of the file (wanted at most 2)");
    b = BYTES("\x3a\x03\x12\x05g");
    FAILS(refuse(&b, MODEL), NORN_PARSE,
          "byte 4: graph.name: length 5 runs past the end of the message around it (wanted at most 1)");
    b = BYTES("\x0a\x01g");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 0: ir_version: field 1 is a length and bytes (wanted a varint)");
    b = BYTES("\x3b\x3c");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 0: graph: field 7 is a group");
    b = BYTES("\xc3\x3e");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "byte 0: field 1000 is a group (wanted a varint, bytes, or 4 or 8 bytes)");
    b = BYTES("\x12\x03g\0h");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "producer_name: text with a zero byte in it");
    b = BYTES("\x22\x03\0\0\0");
    FAILS(refuse(&b, TENSOR), NORN_PARSE, "float_data: 3 bytes (wanted a multiple of 4)");
    b = BYTES("\x2a\x02\x01\x80");
    FAILS(refuse(&b, TENSOR), NORN_PARSE, "int32_data: the last number is cut off");
    b = BYTES("\x2a\x0b\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01");
    FAILS(refuse(&b, TENSOR), NORN_PARSE, "int32_data: a number of more than 10 bytes");
    b = BYTES("\xf8\xff\xff\xff\x0f\x00"); /* the field that the pre-scan itself makes */
    FAILS(refuse(&b, TENSOR), NORN_PARSE, "field number 536870911 (wanted 1 to 536870910)");
    b = BYTES("\xc5\x3e\0\0");
    FAILS(refuse(&b, MODEL), NORN_PARSE, "2 bytes are left (wanted 4)");
}

/* depth messages within each other, alternately Sequence and TypeProto. */
static norni_str nested(int depth) {
    norni_str b = {0};
    for (int i = 0; i < depth - 1; i++) {
        norni_str outer = {0};
        norni_wire_put_message(&outer, (depth - 1 - i) % 2 ? 4 : 1, &b);
        b = outer;
    }
    return b;
}

static void test_depth(void **state) {
    const ProtobufCMessageDescriptor *type = &norni_onnx__type_proto__descriptor;
    norni_str b = nested(NORNI_PRESCAN_DEPTH - 1);
    norni_prescan s;
    WORKS(scan(&b, type, &s));
    assert_int_equal(s.messages, NORNI_PRESCAN_DEPTH - 1);
    norni_arena *arena = norni_arena_new((size_t)s.unpacked_bytes);
    void *m;
    WORKS(norni_pb_unpack(type, arena, s.slim, s.slim_bytes, &m));
    norni_arena_free(arena);
    norni_prescan_free(&s);
    norni_str_free(&b);
    b = nested(NORNI_PRESCAN_DEPTH + 1);
    FAILS(refuse(&b, type), NORN_PARSE, "messages nest deeper than 100 (norn's limit)");
    b = nested(20001); /* no recursion: the stack does not grow with the file */
    FAILS(refuse(&b, type), NORN_PARSE, "sequence_type.elem_type.sequence_type.[...].sequence_type");
}

/* Two bytes a message: what they unpack to is known before it is allocated, and at least what it takes. */
static void test_memory(void **state) {
    norni_str model = {0}, graph = {0};
    for (int i = 0; i < 100000; i++)
        norni_str_addn(&graph, "\x0a\x00", 2);
    norni_wire_put_message(&model, MODEL_GRAPH, &graph);
    norni_prescan s;
    FAILS(scan_limited(&model, MODEL, 10 << 20, &s), NORN_NOMEM,
          "the file's structures need more than 10485760 bytes (its limit)");
    WORKS(scan_limited(&model, MODEL, 100 << 20, &s));
    assert_int_equal(s.messages, 100002);
    assert_int_equal(s.fields, 100001);
    norni_arena *arena = norni_arena_new((size_t)s.unpacked_bytes);
    norni_pb_model *m;
    WORKS(norni_pb_unpack(MODEL, arena, s.slim, s.slim_bytes, &m));
    assert_int_equal(m->graph->n_node, 100000);
    assert_true(norni_arena_bytes(arena) < s.unpacked_bytes);
    norni_arena_free(arena);
    norni_prescan_free(&s);
    norni_str_free(&model);
    assert_true(norni_prescan_limit(1000, 0) > 64 << 20);
    assert_true(norni_prescan_limit((size_t)1 << 40, 0) == (uint64_t)4 << 30);
    assert_true(norni_prescan_limit((size_t)1 << 40, 1000) == 1000);
}

static norn_status scan_and_unpack(const unsigned char *data, size_t n) {
    norni_prescan s;
    NORNI_TRY(norni_prescan_run(data, n, MODEL, norni_prescan_limit(n, 0), &s));
    norni_arena *arena = norni_arena_new((size_t)s.unpacked_bytes);
    void *m;
    norn_status st = norni_pb_unpack(MODEL, arena, s.slim, s.slim_bytes, &m);
    if (st != NORN_OK) /* the pre-scan lets nothing through that protobuf-c refuses */
        fail_msg("%s", norn_error());
    norni_arena_free(arena);
    norni_prescan_free(&s);
    return NORN_OK;
}

static void test_damage(void **state) {
    size_t n;
    unsigned char *data = get_file(data_path("onnx/everything.onnx"), &n);
    damage(data, n, 20000, false, scan_and_unpack);
    norni_free(data);
}

static norn_status starved(void) {
    norni_str model = {0}, graph = {0}, a = tensor("a", 5000);
    norni_wire_put_message(&graph, GRAPH_INITIALIZER, &a);
    norni_wire_put_message(&model, MODEL_GRAPH, &graph);
    norni_prescan s;
    norn_status st = model.failed ? norni_nomem() : scan(&model, MODEL, &s);
    if (st == NORN_OK)
        norni_prescan_free(&s);
    norni_str_free(&model);
    return st;
}

static void test_starved(void **state) { starve(starved); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varint),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_small_data_stay),
        cmocka_unit_test(test_large_data_are_cut),
        cmocka_unit_test(test_packed_numbers_are_cut),
        cmocka_unit_test(test_long_lengths),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
