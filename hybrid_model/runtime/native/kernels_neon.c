/* NEON, as every aarch64 processor has it: without the dot product instructions. */
#if defined(__aarch64__)

#include "lanes_neon.h"
#include "kernels.h"

#define VARIANT neon
#define TARGET
#define BLOCK_VECTORS 1
#define PIXELS(vectors) 4
#define WHOLE_BYTES 2
#define TABLES 0

static int runs_here_neon(void) { return 1; }

#include "kernels_template.h"

#else
typedef int not_for_this_machine;
#endif
