/* Placeholder: what Python calls. */
#include "kernels.h"

__attribute__((visibility("default"))) int bge_kernels_version(void) { return 1; }
