/* Placeholder: compiled once for each instruction set. */
#include "kernels.h"

#define JOIN(left, right) left##_##right
#define NAME(stem, variant) JOIN(stem, variant)

int NAME(placeholder, BGE_VARIANT)(void);
int NAME(placeholder, BGE_VARIANT)(void) { return bge_kernels_version(); }
