/* SPDX-License-Identifier: Apache-2.0 */
/* PNG pictures into host tensors, uint8 [H,W,C]. Every colour type, bit depth and interlacing of the format
 * (ISO/IEC 15948) is read through libpng.
 *
 * C as stored: 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; a palette counts as RGB, and a transparent
 * colour or palette entry adds alpha. On request C is converted: 1: L = (19595 R + 38470 G + 7471 B + 32768)
 * >> 16, the luma of ITU-R BT.601 as Pillow's convert("L") rounds it 3: grey is repeated          4: alpha is
 * 255 where there is none Alpha is dropped, not blended, when C has no room for it. 1, 2 and 4 bits are
 * spread over 0 .. 255; 16 bits are rounded to 8 (v / 257). Colour profiles and gamma are not applied. */
#ifndef NORNI_IMAGE_H
#define NORNI_IMAGE_H
#include "base/tensor.h"

enum { NORNI_IMAGE_SIDE = 16384 };          /* largest width and height */
#define NORNI_IMAGE_BYTES ((size_t)1 << 30) /* largest picture, decoded; also the largest file */

/* channels: 0 (as stored), 1, 3 or 4. Errors: NORN_ARG (channels), NORN_PARSE (not a PNG, or a damaged one),
 * NORN_UNSUPPORTED (another picture format, or too large), NORN_NOMEM. Messages do not name the file. */
norn_status norni_png_decode(const void *data, size_t bytes, int channels, norn_tensor **out);
norn_status norni_png_load(const char *path, int channels, norn_tensor **out);

#endif
