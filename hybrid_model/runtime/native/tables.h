/* Binary convolution by tables: for five activation bits, all 32 patterns' mismatch counts with 64 output channels.
 *
 * A table entry is 32 bytes, two channels a byte (a nibble each, counts 0 to 5). A pixel's pattern picks the entry, and
 * one addition from memory is 320 multiply-accumulates; after three of them the nibbles are split. Entry 32 is zero: a
 * pixel outside the map adds nothing, so padding is exact. Tables are made when they are needed, some at a time, so that
 * all pixels pass while they lie in the first-level cache; what is kept is the first entry of each and the five steps
 * from pattern to pattern.
 */
#ifndef DEWPOINT_TABLES_H
#define DEWPOINT_TABLES_H

#include <stddef.h>
#include <stdint.h>

#define TABLE_CHANNELS 64
#define PATTERN_BITS 5
#define ENTRY_BYTES 32
#define TABLE_ENTRIES 33
#define TABLE_BYTES (TABLE_ENTRIES * ENTRY_BYTES)
#define OUTSIDE_PATTERN (32 * ENTRY_BYTES)
/* What is kept of a table: entry 0, and what each bit of the pattern adds. */
#define SEED_BYTES ((1 + PATTERN_BITS) * ENTRY_BYTES)
/* Tables that are summed before their nibbles are split, and such triples at a time. */
#define TRIPLE 3
#define MAX_TRIPLES 8
#define TABLE_SCRATCH_BYTES (MAX_TRIPLES * TRIPLE * TABLE_BYTES)

/* With roles swapped (small maps, many channels) an entry holds 64 output pixels instead, tables are made from the
 * activations, and five weight bits of an output channel pick the entry. Sums come out by channel and are turned round.
 */
#define TABLE_PIXELS 64
/* An octet of every pixel of a block: two vectors for each eight channels. */
#define PLANE_BYTES 64

static inline ptrdiff_t groups_for(ptrdiff_t channels) { return (channels + PATTERN_BITS - 1) / PATTERN_BITS; }

/* Tables are summed in passes of at most MAX_TRIPLES triples, of about the same length. */
static inline ptrdiff_t passes_for(ptrdiff_t triples) { return (triples + MAX_TRIPLES - 1) / MAX_TRIPLES; }

static inline ptrdiff_t pass_start(ptrdiff_t triples, ptrdiff_t pass) { return triples * pass / passes_for(triples); }

/* Where channel (or pixel) `q` of a block lies in an entry: byte and shift. Unpacking octets to 16 bits then keeps their order. */
static inline ptrdiff_t entry_byte(ptrdiff_t q) { return (q % 16) / 8 * 16 + (q % 32) / 16 * 8 + q % 8; }

static inline int entry_shift(ptrdiff_t q) { return q < 32 ? 0 : 4; }

#endif
