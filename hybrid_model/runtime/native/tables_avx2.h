/* Sums by tables with AVX2; included by kernels_avx2.c. */
#include <string.h>

#include "tables.h"

/* Fills `count` tables from their seeds. */
AVX2 static void fill_tables(const uint8_t *seeds, ptrdiff_t count, uint8_t *tables) {
    for (ptrdiff_t t = 0; t < count; t++, seeds += SEED_BYTES, tables += TABLE_BYTES) {
        const __m256i *seed = (const __m256i *)(const void *)seeds;
        __m256i *entry = (__m256i *)(void *)tables;
        __m256i low[8];
        low[0] = _mm256_load_si256(seed);
#pragma GCC unroll 3
        for (int bit = 0; bit < 3; bit++) {
            __m256i step = _mm256_load_si256(seed + 1 + bit);
#pragma GCC unroll 4
            for (int p = 0; p < 1 << bit; p++) low[p + (1 << bit)] = _mm256_add_epi8(low[p], step);
        }
        __m256i fourth = _mm256_load_si256(seed + 4), fifth = _mm256_load_si256(seed + 5);
        __m256i both = _mm256_add_epi8(fourth, fifth);
#pragma GCC unroll 8
        for (int p = 0; p < 8; p++) {
            _mm256_store_si256(entry + p, low[p]);
            _mm256_store_si256(entry + p + 8, _mm256_add_epi8(low[p], fourth));
            _mm256_store_si256(entry + p + 16, _mm256_add_epi8(low[p], fifth));
            _mm256_store_si256(entry + p + 24, _mm256_add_epi8(low[p], both));
        }
        _mm256_store_si256(entry + 32, _mm256_setzero_si256());
    }
}

/* Compilers address base + index + constant with an instruction of its own; written out, it is part of the addition. */
#if defined(__SANITIZE_ADDRESS__)
#define ADD_ENTRY(sum, tables, pattern, table)                                                              \
    sum = _mm256_add_epi8(                                                                                  \
        sum, _mm256_load_si256((const __m256i *)(const void *)((tables) + (table) * TABLE_BYTES + (pattern))))
#else
#define ADD_ENTRY(sum, tables, pattern, table)                                                              \
    __asm__("vpaddb %c[at](%[base],%[index]), %[s], %[s]"                                                   \
            : [s] "+x"(sum)                                                                                 \
            : [base] "r"(tables), [index] "r"((uintptr_t)(pattern)), [at] "i"((table) * TABLE_BYTES),       \
              "m"(*(const char(*)[TABLE_SCRATCH_BYTES])(tables)))
#endif

#define ADD_TRIPLE(n)                                                                                       \
    if (triples > (n)) {                                                                                    \
        __m256i sum = _mm256_load_si256((const __m256i *)(const void *)(tables + 3 * (n) * TABLE_BYTES +    \
                                                                        patterns[3 * (n)]));                \
        ADD_ENTRY(sum, tables, patterns[3 * (n) + 1], 3 * (n) + 1);                                         \
        ADD_ENTRY(sum, tables, patterns[3 * (n) + 2], 3 * (n) + 2);                                         \
        low = _mm256_add_epi8(low, _mm256_and_si256(sum, nibble));                                          \
        high = _mm256_add_epi8(high, _mm256_and_si256(_mm256_srli_epi16(sum, 4), nibble));                  \
    }

LANE void add_octets(uint16_t *sums, __m256i octets, int first) {
    __m256i *at = (__m256i *)(void *)sums;
    const __m256i zero = _mm256_setzero_si256();
    __m256i a = _mm256_unpacklo_epi8(octets, zero), b = _mm256_unpackhi_epi8(octets, zero);
    if (!first) {
        a = _mm256_add_epi16(a, _mm256_load_si256(at));
        b = _mm256_add_epi16(b, _mm256_load_si256(at + 1));
    }
    _mm256_store_si256(at, a);
    _mm256_store_si256(at + 1, b);
}

/* Adds what `triples` (a constant where this is inlined) times three tables say of `pixels` pixels to their sums. */
LANE void add_patterns(int triples, int first, const uint16_t *patterns, ptrdiff_t step, const uint8_t *tables,
                       uint16_t *sums, ptrdiff_t pixels) {
    const __m256i nibble = _mm256_set1_epi8(15);
    for (ptrdiff_t x = 0; x < pixels; x++, patterns += step, sums += TABLE_CHANNELS) {
        __m256i low = _mm256_setzero_si256(), high = low;
        ADD_TRIPLE(0)
        ADD_TRIPLE(1)
        ADD_TRIPLE(2)
        ADD_TRIPLE(3)
        ADD_TRIPLE(4)
        ADD_TRIPLE(5)
        ADD_TRIPLE(6)
        ADD_TRIPLE(7)
        add_octets(sums, low, first);
        add_octets(sums + 32, high, first);
    }
}

#define ROW_CASE(n)                                                                                         \
    case n:                                                                                                 \
        if (first) {                                                                                        \
            add_patterns(n, 1, patterns, step, tables, sums, pixels);                                       \
        } else {                                                                                            \
            add_patterns(n, 0, patterns, step, tables, sums, pixels);                                       \
        }                                                                                                   \
        break;

AVX2 static __attribute__((noinline)) void add_row(int triples, int first, const uint16_t *patterns, ptrdiff_t step,
                                                   const uint8_t *tables, uint16_t *sums, ptrdiff_t pixels) {
    switch (triples) {
        ROW_CASE(1)
        ROW_CASE(2)
        ROW_CASE(3)
        ROW_CASE(4)
        ROW_CASE(5)
        ROW_CASE(6)
        ROW_CASE(7)
        ROW_CASE(8)
    default:
        break;
    }
}

AVX2 static void channel_sums(const Conv *c, const uint8_t *map, uint8_t *memory) {
    const ptrdiff_t groups = groups_for(c->ic), triples = c->run / TRIPLE, pixels = c->oh * c->ow;
    const ptrdiff_t passes = passes_for(triples), blocks = (c->oc + TABLE_CHANNELS - 1) / TABLE_CHANNELS;
    const ptrdiff_t width = c->iw + 2 * c->window.pw, step = c->window.sw * groups;
    const uint16_t *patterns = (const uint16_t *)(const void *)map;
    uint16_t *sums = (uint16_t *)(void *)memory;
    uint8_t *tables = memory + (size_t)(blocks * pixels * TABLE_CHANNELS) * sizeof(uint16_t);
    const uint8_t *seeds = c->weights;
    for (ptrdiff_t b = 0; b < blocks; b++, sums += pixels * TABLE_CHANNELS) {
        int first = 1;
        for (ptrdiff_t ky = 0; ky < c->window.kh; ky++) {
            for (ptrdiff_t pass = 0; pass < passes; pass++) {
                ptrdiff_t t0 = pass_start(triples, pass), t1 = pass_start(triples, pass + 1);
                fill_tables(seeds, (t1 - t0) * TRIPLE, tables);
                seeds += (t1 - t0) * TRIPLE * SEED_BYTES;
                for (ptrdiff_t y = 0; y < c->oh; y++) {
                    const uint16_t *row = patterns + (y * c->window.sh + ky) * width * groups + t0 * TRIPLE;
                    add_row((int)(t1 - t0), first, row, step, tables, sums + y * c->ow * TABLE_CHANNELS, c->ow);
                }
                first = 0;
            }
        }
    }
}

/* ---- Roles swapped ---- */

/* The octets of 64 pixels' words as planes: for each byte of the words, two vectors of 32 pixels. */
AVX2 static void make_planes(const Conv *c, const uint32_t *map, const int32_t *offset, uint8_t *planes) {
    const ptrdiff_t words = words_for(c->ic);
    const __m256i gather = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (ptrdiff_t w = 0; w < words; w++, planes += 4 * PLANE_BYTES) {
        uint32_t word[TABLE_PIXELS];
        for (int p = 0; p < TABLE_PIXELS; p++) word[p] = map[offset[p] + w];
        for (int half = 0; half < 2; half++) {
            __m256i v[4];
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                const uint32_t *at = word + half * 32 + 4 * i;
                __m128i low = _mm_loadu_si128((const __m128i *)(const void *)at);
                __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(at + 16));
                v[i] = _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1), gather);
            }
            __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
            __m256i d = _mm256_unpacklo_epi32(v[2], v[3]), e = _mm256_unpackhi_epi32(v[2], v[3]);
            __m256i *to = (__m256i *)(void *)(planes + half * 32);
            _mm256_store_si256(to, _mm256_unpacklo_epi64(a, d));
            _mm256_store_si256(to + 2, _mm256_unpackhi_epi64(a, d));
            _mm256_store_si256(to + 4, _mm256_unpacklo_epi64(b, e));
            _mm256_store_si256(to + 6, _mm256_unpackhi_epi64(b, e));
        }
    }
}

/* The seed of one group of channels of 64 pixels. */
AVX2 static void make_seed(const uint8_t *planes, ptrdiff_t channels, ptrdiff_t group, __m256i inside, uint8_t *seed) {
    const __m256i ones = _mm256_set1_epi8(1), sixteens = _mm256_set1_epi8(16);
    __m256i first = _mm256_setzero_si256();
    __m256i *to = (__m256i *)(void *)seed;
    for (ptrdiff_t bit = 0; bit < PATTERN_BITS; bit++) {
        ptrdiff_t channel = group * PATTERN_BITS + bit;
        __m256i step = _mm256_setzero_si256();
        if (channel < channels) {
            const __m256i *plane = (const __m256i *)(const void *)(planes + channel / 8 * PLANE_BYTES);
            const __m128i shift = _mm_cvtsi32_si128((int)(channel % 8));
            __m256i low = _mm256_and_si256(_mm256_srl_epi16(_mm256_load_si256(plane), shift), ones);
            /* To the upper nibble first: the bit then comes down to 16. */
            __m256i high = _mm256_srl_epi16(_mm256_load_si256(plane + 1), shift);
            high = _mm256_and_si256(_mm256_slli_epi16(high, 4), sixteens);
            __m256i x = _mm256_and_si256(_mm256_or_si256(low, high), inside);
            first = _mm256_add_epi8(first, x);
            step = _mm256_sub_epi8(inside, _mm256_add_epi8(x, x));
        }
        _mm256_store_si256(to + 1 + bit, step);
    }
    _mm256_store_si256(to, first);
}

LANE __m128i load8(const uint16_t *p) { return _mm_load_si128((const __m128i *)(const void *)p); }

/* An 8 x 8 block of sums turned round. */
AVX2 static void turn_block(const uint16_t *from, uint16_t *to, ptrdiff_t rows) {
    __m128i v[8], w[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) v[i] = load8(from + i * TABLE_PIXELS);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w[2 * i] = _mm_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
        w[2 * i + 1] = _mm_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        v[4 * i] = _mm_unpacklo_epi32(w[4 * i], w[4 * i + 2]);
        v[4 * i + 1] = _mm_unpackhi_epi32(w[4 * i], w[4 * i + 2]);
        v[4 * i + 2] = _mm_unpacklo_epi32(w[4 * i + 1], w[4 * i + 3]);
        v[4 * i + 3] = _mm_unpackhi_epi32(w[4 * i + 1], w[4 * i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        w[2 * i] = _mm_unpacklo_epi64(v[i], v[4 + i]);
        w[2 * i + 1] = _mm_unpackhi_epi64(v[i], v[4 + i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        if (i < rows) _mm_store_si128((__m128i *)(void *)(to + i * TABLE_CHANNELS), w[i]);
    }
}

/* From (channels, TABLE_PIXELS) of one block of pixels to (blocks of TABLE_CHANNELS, pixels, TABLE_CHANNELS). */
AVX2 static void turn_round(const uint16_t *by_channel, ptrdiff_t channels, ptrdiff_t first, ptrdiff_t pixels,
                            uint16_t *sums) {
    for (ptrdiff_t oc = 0; oc < channels; oc += 8) {
        uint16_t *to = sums + oc / TABLE_CHANNELS * pixels * TABLE_CHANNELS + oc % TABLE_CHANNELS;
        for (ptrdiff_t p = 0; p < TABLE_PIXELS && first + p < pixels; p += 8) {
            turn_block(by_channel + oc * TABLE_PIXELS + p, to + (first + p) * TABLE_CHANNELS, pixels - first - p);
        }
    }
}

/* Adds the tables of groups g0 to g1 of one block of pixels to the sums of all channels. */
AVX2 static void pixel_pass(const Conv *c, const uint8_t *map, ptrdiff_t block, ptrdiff_t g0, ptrdiff_t g1,
                            uint8_t *planes, ptrdiff_t *tap_of_planes, uint8_t *seeds) {
    const ptrdiff_t groups = groups_for(c->ic), taps = c->window.kh * c->window.kw;
    for (ptrdiff_t g = g0; g < g1; g++) {
        ptrdiff_t tap = g / groups;
        uint8_t *seed = seeds + (g - g0) * SEED_BYTES;
        if (tap >= taps) { /* fills up the last triple */
            memset(seed, 0, SEED_BYTES);
            continue;
        }
        if (tap != *tap_of_planes) {
            const uint8_t *at = map + tap / c->window.kw * c->row_bytes + tap % c->window.kw * c->pixel_bytes;
            make_planes(c, (const uint32_t *)(const void *)at, c->word_offset + block * TABLE_PIXELS, planes);
            *tap_of_planes = tap;
        }
        const uint8_t *inside = c->inside + (block * taps + tap) * ENTRY_BYTES;
        make_seed(planes, c->ic, g % groups, _mm256_load_si256((const __m256i *)(const void *)inside), seed);
    }
}

AVX2 static void pixel_sums(const Conv *c, const uint8_t *map, uint8_t *memory) {
    const ptrdiff_t pixels = c->oh * c->ow, triples = c->run / TRIPLE;
    const ptrdiff_t passes = passes_for(triples);
    const ptrdiff_t blocks = (pixels + TABLE_PIXELS - 1) / TABLE_PIXELS;
    const ptrdiff_t padded = (c->oc + TABLE_CHANNELS - 1) / TABLE_CHANNELS * TABLE_CHANNELS;
    uint16_t *sums = (uint16_t *)(void *)memory, *by_channel = sums + padded * pixels;
    uint8_t *tables = (uint8_t *)(by_channel + padded * TABLE_PIXELS);
    uint8_t *seeds = tables + TABLE_SCRATCH_BYTES, *planes = seeds + MAX_TRIPLES * TRIPLE * SEED_BYTES;
    for (ptrdiff_t b = 0; b < blocks; b++) {
        const uint16_t *patterns = (const uint16_t *)(const void *)c->weights;
        ptrdiff_t tap_of_planes = -1;
        for (ptrdiff_t pass = 0; pass < passes; pass++) {
            ptrdiff_t t0 = pass_start(triples, pass), t1 = pass_start(triples, pass + 1);
            pixel_pass(c, map, b, t0 * TRIPLE, t1 * TRIPLE, planes, &tap_of_planes, seeds);
            fill_tables(seeds, (t1 - t0) * TRIPLE, tables);
            add_row((int)(t1 - t0), pass == 0, patterns, (t1 - t0) * TRIPLE, tables, by_channel, c->oc);
            patterns += c->oc * (t1 - t0) * TRIPLE;
        }
        turn_round(by_channel, (c->oc + 7) / 8 * 8, b * TABLE_PIXELS, pixels, sums);
    }
}

AVX2 static void conv_sums_avx2(const Conv *c, const uint8_t *map, uint8_t *memory) {
    if (c->swapped) {
        pixel_sums(c, map, memory);
    } else {
        channel_sums(c, map, memory);
    }
}

/* ---- Patterns and sums ---- */

/* Sixteen patterns at a time: each 16-bit lane takes the two bytes that hold its five bits, shifts them to the top by a
 * multiplication, and down to where an entry begins. Bits behind the last channel do no harm: no table asks for them. */
AVX2 static void patterns_avx2(const uint8_t *words, ptrdiff_t pixels, ptrdiff_t channels, uint16_t *patterns) {
    const ptrdiff_t groups = groups_for(channels), pixel_bytes = words_for(channels) * 4;
    const __m256i take = _mm256_setr_epi8(0, 1, 0, 1, 1, 2, 1, 2, 2, 3, 3, 4, 3, 4, 4, 5,  //
                                          5, 6, 5, 6, 6, 7, 6, 7, 7, 8, 8, 9, 8, 9, 9, 10);
    const __m256i shift = _mm256_setr_epi16(2048, 64, 512, 16, 128, 1024, 32, 256,  //
                                            2048, 64, 512, 16, 128, 1024, 32, 256);
    const __m256i mask = _mm256_set1_epi16(31 * ENTRY_BYTES);
    for (ptrdiff_t p = 0; p < pixels; p++, words += pixel_bytes, patterns += groups) {
        const uint8_t *at = words;
        for (ptrdiff_t g = 0; g < groups; g += 16, at += 10) {
            __m256i bits = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)at));
            bits = _mm256_mullo_epi16(_mm256_shuffle_epi8(bits, take), shift);
            bits = _mm256_and_si256(_mm256_srli_epi16(bits, 6), mask);
            _mm256_storeu_si256((__m256i *)(void *)(patterns + g), bits);
        }
    }
}

/* Bit i: sum i < bound i, of TABLE_CHANNELS. */
LANE uint64_t sums_below(const uint16_t *sums, const int16_t *bounds) {
    const __m256i *sum = (const __m256i *)(const void *)sums, *bound = (const __m256i *)(const void *)bounds;
    __m256i yes[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        yes[i] = _mm256_cmpgt_epi16(_mm256_load_si256(bound + i), _mm256_load_si256(sum + i));
    }
    __m256i low = _mm256_permute4x64_epi64(_mm256_packs_epi16(yes[0], yes[1]), 0xD8);
    __m256i high = _mm256_permute4x64_epi64(_mm256_packs_epi16(yes[2], yes[3]), 0xD8);
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

/* Tables pay where enough pixels pass them. */
static int wants_tables_avx2(const Conv *c) { return c->ic >= 16 && c->oc >= 40 && (c->oh * c->ow >= 32 || c->oc >= 128); }
