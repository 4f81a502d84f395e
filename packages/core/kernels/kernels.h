/* Placeholder: what the variants share. */
#ifndef BGE_KERNELS_H
#define BGE_KERNELS_H

int bge_kernels_version(void);

#endif
