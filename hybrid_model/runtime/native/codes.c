#include "codes.h"

#include <string.h>

static int code_at(const Tensor *cut, const uint8_t *pixel, ptrdiff_t c) {
    if (!held_as_bits(cut)) return pixel[c];
    uint32_t word;
    memcpy(&word, pixel + c / 32 * 4, sizeof word);
    return (int)(word >> (c % 32) & 1);
}

void codes_spread(const Tensor *cut, const uint8_t *held, uint8_t *codes) {
    for (ptrdiff_t p = 0; p < cut->h * cut->w; p++, held += cut->pixel_bytes) {
        for (ptrdiff_t c = 0; c < cut->c; c++) *codes++ = (uint8_t)code_at(cut, held, c);
    }
}

/* `count` bits of `value` behind those in `pending`; whole bytes go out. */
static uint8_t *append(uint8_t *out, uint64_t *pending, int *pending_bits, uint64_t value, int count) {
    *pending |= value << *pending_bits;
    for (*pending_bits += count; *pending_bits >= 8; *pending_bits -= 8, *pending >>= 8) *out++ = (uint8_t)*pending;
    return out;
}

void codes_pack(const Tensor *cut, const uint8_t *held, uint8_t *features) {
    uint64_t pending = 0;
    int bits = 0;
    for (ptrdiff_t p = 0; p < cut->h * cut->w; p++, held += cut->pixel_bytes) {
        if (!held_as_bits(cut)) {
            for (ptrdiff_t c = 0; c < cut->c; c++) features = append(features, &pending, &bits, held[c], cut->bits);
            continue;
        }
        for (ptrdiff_t c = 0; c < cut->c; c += 32) {
            uint32_t word;
            memcpy(&word, held + c / 8, sizeof word);
            features = append(features, &pending, &bits, word, cut->c - c < 32 ? (int)(cut->c - c) : 32);
        }
    }
    if (bits > 0) *features = (uint8_t)pending;
}
