/* Plain C: for any machine, and the variant that the others are checked against beside the NumPy reference. */
#include "lanes_portable.h"

#define VARIANT portable
#define TARGET
#define BLOCK_VECTORS 1
#define PIXELS(vectors) 2
#define WHOLE_BYTES 0
#define TABLES 0

static int runs_here_portable(void) { return 1; }

#include "kernels_template.h"
