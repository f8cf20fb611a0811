/* SPDX-License-Identifier: Apache-2.0 */
/* A training step keeps parameters on the device, waits for it once, and updates all parameters in one launch. The calls are
 * counted here: this program defines them in place of the loader's. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "tests/backend.h"
#include <dlfcn.h>

static int waits;
static int updates, copies; /* launches of kernels that update parameters; copies from buffer to buffer */
static size_t read_bytes, written_bytes;

cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *offset,
                              const size_t *global, const size_t *local, cl_uint n, const cl_event *events,
                              cl_event *event) {
    static cl_int (*real)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *,
                          const size_t *, cl_uint, const cl_event *, cl_event *);
    char name[200] = "";
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
    updates += !strncmp(name, "update_", 7);
    return real(q, k, dims, offset, global, local, n, events, event);
}

cl_int clEnqueueCopyBuffer(cl_command_queue q, cl_mem from, cl_mem to, size_t from_at, size_t to_at,
                           size_t bytes, cl_uint n, const cl_event *events, cl_event *event) {
    static cl_int (*real)(cl_command_queue, cl_mem, cl_mem, size_t, size_t, size_t, cl_uint, const cl_event *,
                          cl_event *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clEnqueueCopyBuffer");
    copies++;
    return real(q, from, to, from_at, to_at, bytes, n, events, event);
}

cl_int clFinish(cl_command_queue q) {
    static cl_int (*real)(cl_command_queue);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clFinish");
    waits++;
    return real(q);
}

cl_int clWaitForEvents(cl_uint n, const cl_event *events) {
    static cl_int (*real)(cl_uint, const cl_event *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clWaitForEvents");
    waits++;
    return real(n, events);
}

cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem b, cl_bool blocking, size_t offset, size_t bytes,
                           void *to, cl_uint n, const cl_event *events, cl_event *event) {
    static cl_int (*real)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint,
                          const cl_event *, cl_event *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clEnqueueReadBuffer");
    waits += blocking != CL_FALSE;
    read_bytes += bytes;
    return real(q, b, blocking, offset, bytes, to, n, events, event);
}

cl_int clEnqueueWriteBuffer(cl_command_queue q, cl_mem b, cl_bool blocking, size_t offset, size_t bytes,
                            const void *from, cl_uint n, const cl_event *events, cl_event *event) {
    static cl_int (*real)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                          const cl_event *, cl_event *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clEnqueueWriteBuffer");
    waits += blocking != CL_FALSE;
    written_bytes += bytes;
    return real(q, b, blocking, offset, bytes, from, n, events, event);
}

/* A network, its trainer and a batch of 16. */
static void run_steps(const char *net, int rank, const int64_t *sample) {
    norn_session *s;
    norn_model *m;
    norn_trainer *t;
    norn_tensor *x, *y;
    norn_train_result r;
    int64_t dims[4] = {16};
    if (!have_device())
        skip();
    memcpy(dims + 1, sample, (size_t)rank * sizeof *sample);
    OK(norn_session_open(NULL, &s));
    OK(norn_model_builtin(net, rank, sample, 10, 0, &m));
    OK(norn_trainer_new(s, m, NULL, &t));
    OK(norn_tensor_new(NULL, NORN_F32, rank + 1, dims, NULL, &x));
    OK(norn_tensor_new(NULL, NORN_I64, 1, dims, NULL, &y));
    for (int64_t i = 0; i < norn_tensor_elems(x); i++)
        norn_tensor_set(x, i, (double)(i * 7 % 13) / 13);
    for (int64_t i = 0; i < 16; i++)
        norn_tensor_set(y, i, (double)(i % 10));
    for (int i = 0; i < 2; i++) /* plan, kernels, first launches */
        OK(norn_trainer_step(t, x, y, &r));
    double before = r.loss;
    for (int i = 0; i < 5; i++) {
        waits = updates = copies = 0;
        read_bytes = written_bytes = 0;
        OK(norn_trainer_step(t, x, y, &r));
        assert_int_equal(waits, 1);
        assert_int_equal(updates, 1);
        assert_int_equal(copies, 0);
        assert_in_range(read_bytes, 1, 64); /* loss, right answers */
        assert_in_range(written_bytes, 1,
                        norn_tensor_bytes(x) + norn_tensor_bytes(y) + 64); /* the batch, lr */
    }
    assert_true(r.loss < before);
    norn_tensor_free(x);
    norn_tensor_free(y);
    norn_trainer_free(t);
    norn_model_free(m);
    norn_session_close(s);
}

static void dense(void **state) {
    (void)state;
    run_steps("mlp", 2, (int64_t[]){8, 8});
}

static void convolution(void **state) {
    (void)state;
    run_steps("lenet", 3, (int64_t[]){1, 8, 8});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(dense), cmocka_unit_test(convolution)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
