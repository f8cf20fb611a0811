/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files: what the rest of export/ calls. The functions are those of norn.h, section 9. */
#ifndef NORNI_ONNX_H
#define NORNI_ONNX_H
#include "export/model.h"

enum {
    NORNI_IR_MIN = 3,
    NORNI_IR_MAX = 14,
    NORNI_OPSET_MAX = 28,
    NORNI_OPSET_MIN_EXPORT = 7,
    NORNI_OPSET_BUILT = 17
};

/* options NULL: defaults. */
norn_status norni_onnx_load(const char *path, const norn_load_options *options, norn_model **out);
norn_status norni_onnx_import(const void *data, size_t bytes, const char *name,
                              const norn_load_options *options, norn_model **out);
norn_status norni_onnx_content(const char *path, norn_form form, norn_content *out);
norn_status norni_onnx_save(const norn_model *m, const char *path, const norn_save_options *options);
norn_status norni_onnx_preview(const norn_model *m, const norn_save_options *options, char **refused,
                               char **changed);
norn_status norni_onnx_export(const norn_model *m, const norn_save_options *options, char **data,
                              size_t *bytes);

#endif
