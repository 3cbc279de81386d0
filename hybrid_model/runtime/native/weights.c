/* Weights in the order in which kernels read them: words, seeds of tables, or patterns. */
#include <string.h>

#include "conv_parts.h"

/* The first vector of a block; with b = blocks, their number. */
static ptrdiff_t block_start(const Conv *conv, ptrdiff_t b) {
    return b * conv->block_vectors + (b < conv->larger ? b : conv->larger);
}

/* The word beside word `k` of segment `s` for output channel `oc`. */
static uint32_t weight_word(const Conv *conv, const ConvSpec *spec, ptrdiff_t s, ptrdiff_t k, ptrdiff_t oc) {
    ptrdiff_t per_word = conv->map == MAP_U8 ? 4 : conv->map == MAP_S16 ? 2 : 1;
    ptrdiff_t values = conv->window.kw * conv->ic;
    uint32_t word = 0;
    if (is_binary(conv)) {
        ptrdiff_t words = words_for(conv->ic), tap = s * conv->window.kw + k / words;
        return spec->binary_weight[(tap * conv->oc + oc) * words + k % words];
    }
    if (conv->kind == CONV_FLOAT) {
        memcpy(&word, &spec->float_weight[(s * conv->run + k) * conv->oc + oc], 4);
        return word;
    }
    if (conv->kind == CONV_WHOLE_FLOAT) {
        float value = spec->whole_weight[(s * conv->run + k) * conv->oc + oc];
        memcpy(&word, &value, 4);
        return word;
    }
    for (ptrdiff_t i = 0; i < per_word && k * per_word + i < values; i++) {
        int8_t value = spec->whole_weight[(s * values + k * per_word + i) * conv->oc + oc];
        uint32_t part = per_word == 4 ? (uint8_t)value : (uint16_t)value;
        word |= part << (i * (32 / per_word));
    }
    return word;
}

static int pack_weights(Conv *conv, const ConvSpec *spec, Arena *arena) {
    ptrdiff_t steps = conv->segments * conv->run;
    uint32_t *word = arena_take(arena, (size_t)steps * (size_t)(conv->vectors * LANES), sizeof(uint32_t));
    if (word == NULL) return 0;
    conv->weights = (uint8_t *)word;
    for (ptrdiff_t b = 0; b < conv->blocks; b++) {
        ptrdiff_t first = block_start(conv, b) * LANES, last = block_start(conv, b + 1) * LANES;
        for (ptrdiff_t s = 0; s < conv->segments; s++) {
            for (ptrdiff_t k = 0; k < conv->run; k++) {
                for (ptrdiff_t oc = first; oc < last; oc++) {
                    *word++ = oc < conv->oc ? weight_word(conv, spec, s, k, oc) : 0;
                }
            }
        }
    }
    return 1;
}

/* Entry 0 of a table and its five steps, for one group of input channels of one tap. */
static void pack_seed(const Conv *conv, const uint32_t *tap, ptrdiff_t group, ptrdiff_t first, uint8_t *seed) {
    ptrdiff_t words = words_for(conv->ic);
    for (ptrdiff_t q = 0; q < TABLE_CHANNELS && first + q < conv->oc; q++) {
        const uint32_t *word = tap + (first + q) * words;
        uint8_t *byte = seed + entry_byte(q);
        for (ptrdiff_t bit = 0; bit < PATTERN_BITS; bit++) {
            ptrdiff_t channel = group * PATTERN_BITS + bit;
            if (channel >= conv->ic) break;
            int one = (int)(word[channel / 32] >> (channel % 32) & 1), shift = entry_shift(q);
            byte[0] = (uint8_t)(byte[0] + (one << shift));
            uint8_t *step = byte + (1 + bit) * ENTRY_BYTES;
            *step = (uint8_t)(*step + (one ? 256 - (1 << shift) : 1 << shift));
        }
    }
}

static int pack_tables(Conv *conv, const ConvSpec *spec, Arena *arena) {
    ptrdiff_t groups = groups_for(conv->ic), words = words_for(conv->ic), blocks = table_blocks(conv);
    size_t count = (size_t)(blocks * conv->window.kh * conv->run);
    uint8_t *seed = arena_take(arena, count, SEED_BYTES);
    if (seed == NULL) return 0;
    conv->weights = seed;
    for (ptrdiff_t b = 0; b < blocks; b++) {
        for (ptrdiff_t ky = 0; ky < conv->window.kh; ky++) {
            for (ptrdiff_t g = 0; g < conv->run; g++, seed += SEED_BYTES) {
                ptrdiff_t kx = g / groups, tap = ky * conv->window.kw + kx;
                if (kx >= conv->window.kw) continue; /* fills up the last triple */
                pack_seed(conv, spec->binary_weight + tap * conv->oc * words, g % groups, b * TABLE_CHANNELS, seed);
            }
        }
    }
    return 1;
}

/* Swapped: the pattern of one group of input channels of one tap, for one output channel. */
static uint16_t weight_pattern(const Conv *conv, const ConvSpec *spec, ptrdiff_t tap, ptrdiff_t group, ptrdiff_t oc) {
    ptrdiff_t words = words_for(conv->ic);
    const uint32_t *word = spec->binary_weight + (tap * conv->oc + oc) * words;
    unsigned pattern = 0;
    for (ptrdiff_t bit = 0; bit < PATTERN_BITS; bit++) {
        ptrdiff_t channel = group * PATTERN_BITS + bit;
        if (channel < conv->ic) pattern |= (word[channel / 32] >> (channel % 32) & 1u) << bit;
    }
    return (uint16_t)(pattern * ENTRY_BYTES);
}

static int pack_patterns(Conv *conv, const ConvSpec *spec, Arena *arena) {
    ptrdiff_t groups = groups_for(conv->ic), taps = conv->window.kh * conv->window.kw, triples = conv->run / TRIPLE;
    uint16_t *pattern = arena_take(arena, (size_t)(conv->oc * conv->run), sizeof(uint16_t));
    if (pattern == NULL) return 0;
    conv->weights = (uint8_t *)pattern;
    for (ptrdiff_t pass = 0; pass < passes_for(triples); pass++) {
        ptrdiff_t first = pass_start(triples, pass) * TRIPLE, end = pass_start(triples, pass + 1) * TRIPLE;
        for (ptrdiff_t oc = 0; oc < conv->oc; oc++) {
            for (ptrdiff_t i = first; i < end; i++, pattern++) {
                if (i < taps * groups) *pattern = weight_pattern(conv, spec, i / groups, i % groups, oc);
            }
        }
    }
    return 1;
}

/* Swapped: where each pixel's window begins, and which of its taps lie inside the map. */
static int place_pixels(Conv *conv, Arena *arena) {
    const Window *k = &conv->window;
    ptrdiff_t taps = k->kh * k->kw, pixels = conv->oh * conv->ow, blocks = pixel_blocks(conv);
    conv->word_offset = arena_take(arena, (size_t)(blocks * TABLE_PIXELS), sizeof(int32_t));
    conv->inside = arena_take(arena, (size_t)(blocks * taps), ENTRY_BYTES);
    if (conv->word_offset == NULL || conv->inside == NULL) return 0;
    for (ptrdiff_t p = 0; p < pixels; p++) {
        ptrdiff_t y = p / conv->ow * k->sh, x = p % conv->ow * k->sw, i = p % TABLE_PIXELS;
        ptrdiff_t place = p / TABLE_PIXELS * TABLE_PIXELS + i / ENTRY_BYTES * ENTRY_BYTES + entry_byte(i);
        conv->word_offset[place] = (int32_t)((y * conv->row_bytes + x * conv->pixel_bytes) / 4);
        for (ptrdiff_t t = 0; t < taps; t++) {
            ptrdiff_t from_y = y + t / k->kw - k->ph, from_x = x + t % k->kw - k->pw;
            if (from_y < 0 || from_y >= conv->ih || from_x < 0 || from_x >= conv->iw) continue;
            uint8_t *byte = conv->inside + (p / TABLE_PIXELS * taps + t) * ENTRY_BYTES + entry_byte(i);
            *byte = (uint8_t)(*byte + (1 << entry_shift(i)));
        }
    }
    return 1;
}

int weights_pack(Conv *conv, const ConvSpec *spec, Arena *arena) {
    if (conv->swapped) return place_pixels(conv, arena) && pack_patterns(conv, spec, arena);
    return conv->tables ? pack_tables(conv, spec, arena) : pack_weights(conv, spec, arena);
}
