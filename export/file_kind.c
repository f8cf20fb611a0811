/* SPDX-License-Identifier: Apache-2.0 */
#include "export/file_kind.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const char *text; /* the first bytes, or the extension */
    size_t offset, bytes;
    const char *kind;
} mark;

#define AT(offset, text, kind)                                                                               \
    { text, offset, sizeof(text) - 1, kind }
static const mark marks[] = {
    AT(0, "\x89HDF\r\n\x1a\n", "an HDF5 file (Keras)"),
    AT(0, "\x89PNG\r\n\x1a\n", "a PNG picture"),
    AT(0, "\xff\xd8\xff", "a JPEG picture"),
    AT(0, "\x93NUMPY", "a .npy file (one array)"),
    AT(0, "PK\x03\x04", "a zip archive (.npz, .keras, .pt or the like)"),
    AT(0, "PK\x05\x06", "a zip archive (.npz, .keras, .pt or the like)"),
    AT(0, "GGUF", "a GGUF file"),
    AT(4, "TFL3", "a TensorFlow Lite model"),
    AT(0, "\x1f\x8b", "a gzip file"),
    AT(0,
       "\x7f"
       "ELF",
       "a program"),
    AT(0, "%PDF", "a PDF document"),
    AT(0, "version https://git-lfs", "a pointer of Git LFS, in place of the file"),
};
static const mark extensions[] = {
    {".caffemodel", 0, 0, "a Caffe model"},
    {".prototxt", 0, 0, "a Caffe network"},
    {".safetensors", 0, 0, "a safetensors file"},
    {".h5", 0, 0, "an HDF5 file (Keras)"},
    {".hdf5", 0, 0, "an HDF5 file (Keras)"},
    {".keras", 0, 0, "a Keras model"},
    {".npy", 0, 0, "a .npy file (one array)"},
    {".npz", 0, 0, "a .npz archive"},
    {".idx", 0, 0, "an IDX file"},
    {".pt", 0, 0, "a PyTorch file"},
    {".pth", 0, 0, "a PyTorch file"},
    {".tflite", 0, 0, "a TensorFlow Lite model"},
};

/* A length of 8 bytes, then JSON. */
static bool is_safetensors(const uint8_t *p, size_t n) {
    return n > 9 && p[8] == '{' && (p[9] == '"' || p[9] == '}') && !p[5] && !p[6] && !p[7];
}

static bool is_text(const uint8_t *p, size_t n) {
    size_t i = 0;
    for (; i < n && i < 512; i++)
        if (p[i] < 32 && p[i] != '\n' && p[i] != '\r' && p[i] != '\t')
            return false;
    return i > 0;
}

const char *norni_file_kind(const char *path, const void *data, size_t bytes) {
    const uint8_t *p = data;
    size_t len = strlen(path);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (bytes >= marks[i].offset + marks[i].bytes &&
            !memcmp(p + marks[i].offset, marks[i].text, marks[i].bytes))
            return marks[i].kind;
    if (is_safetensors(p, bytes))
        return "a safetensors file";
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        size_t n = strlen(extensions[i].text);
        if (len > n && !strcmp(path + len - n, extensions[i].text))
            return extensions[i].kind;
    }
    return is_text(p, bytes) ? "plain text" : NULL;
}
