/* Codes at the cut, from how a workspace holds them. */
#ifndef DEWPOINT_CODES_H
#define DEWPOINT_CODES_H

#include "tensor.h"

/* One octet per code, dense (H, W, C). */
void codes_spread(const Tensor *cut, const uint8_t *held, uint8_t *codes);

/* The features that travel: codes in row-major order, least significant bit first, the rest of the last byte zero. */
void codes_pack(const Tensor *cut, const uint8_t *held, uint8_t *features);

#endif
