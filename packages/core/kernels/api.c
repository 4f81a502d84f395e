/* What is exported: which kernels this processor can run, one call per batch, and threads for a text that is alone. */
#define BGE_KERNELS_INSIDE
#define _GNU_SOURCE
#include "bge_kernels.h"

#include <cpuid.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BGE_API __attribute__((visibility("default")))

/* The first four multiply in 8 bits, and the fourth attends in bfloat16; then come bfloat16 and float32 throughout. */
enum { AVX2 = 1, AVX2VNNI = 2, AVX512 = 4, AVX512BF16 = 8, BFLOAT16 = 16, FLOAT32AVX2 = 32, FLOAT32AVX512 = 64 };

BGE_API int bge_kernels_version(void) { return BGE_LAYOUT; }

static int has_avx_vnni(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

static int has_f16c(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}

/* A bit for each kernel that runs here. */
BGE_API int bge_kernels_here(void) {
  int here = 0;
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c()) {
    here |= AVX2 | FLOAT32AVX2;
    if (has_avx_vnni()) here |= AVX2VNNI;
  }
  if (here && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    here |= FLOAT32AVX512;
    if (__builtin_cpu_supports("avx512vnni")) {
      here |= AVX512;
      if (__builtin_cpu_supports("avx512bf16")) here |= AVX512BF16 | BFLOAT16;
    }
  }
  return here;
}

/* Bytes that a batch needs beside its answer; 0 for a kernel that is not known. */
BGE_API int64_t bge_workspace(int kernel, const bge_encoder *encoder, int64_t texts, int64_t width, int threads) {
  switch (kernel) {
  case AVX2: return bge_workspace_avx2(encoder, texts, width, threads);
  case AVX2VNNI: return bge_workspace_avx2vnni(encoder, texts, width, threads);
  case AVX512: return bge_workspace_avx512(encoder, texts, width, threads);
  case AVX512BF16: return bge_workspace_avx512bf16(encoder, texts, width, threads);
  case BFLOAT16: return bge_workspace_bfloat16(encoder, texts, width, threads);
  case FLOAT32AVX2: return bge_workspace_float32avx2(encoder, texts, width, threads);
  case FLOAT32AVX512: return bge_workspace_float32avx512(encoder, texts, width, threads);
  default: return 0;
  }
}

/* Runs one batch. The workspace begins at a multiple of 64; a pool serves one batch at a time, null stands for none. */
BGE_API int bge_run(int kernel, const bge_encoder *encoder, const bge_batch *batch, void *workspace, bge_pool *pool) {
  switch (kernel) {
  case AVX2: return bge_run_avx2(encoder, batch, workspace, pool);
  case AVX2VNNI: return bge_run_avx2vnni(encoder, batch, workspace, pool);
  case AVX512: return bge_run_avx512(encoder, batch, workspace, pool);
  case AVX512BF16: return bge_run_avx512bf16(encoder, batch, workspace, pool);
  case BFLOAT16: return bge_run_bfloat16(encoder, batch, workspace, pool);
  case FLOAT32AVX2: return bge_run_float32avx2(encoder, batch, workspace, pool);
  case FLOAT32AVX512: return bge_run_float32avx512(encoder, batch, workspace, pool);
  default: return BGE_BAD_KERNEL;
  }
}

/* ---- threads ------------------------------------------------------------------------------------------------------- */

struct bge_pool {
  pthread_mutex_t lock;
  pthread_cond_t work;
  pthread_t *thread;
  bge_task *task;
  void *context;
  int threads; /* with the one that calls */
  int active;  /* of them, in this round */
  int round;
  int stop;
  _Alignas(64) atomic_int arrived;
  _Alignas(64) atomic_int meeting;
};

typedef struct {
  bge_pool *pool;
  int number;
} helper;

/* Meetings are a few microseconds apart, too short to sleep; where the machine has other work, the processor is given
 * away between two looks. */
void bge_meet(bge_pool *pool, int threads) {
  const int now = atomic_load_explicit(&pool->meeting, memory_order_acquire);
  if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == threads - 1) {
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->meeting, now + 1, memory_order_release);
    return;
  }
  for (unsigned looks = 0; atomic_load_explicit(&pool->meeting, memory_order_acquire) == now; looks++) {
    if (looks < 4000)
      __builtin_ia32_pause();
    else
      sched_yield();
  }
}

int bge_threads(const bge_pool *pool) { return pool ? pool->threads : 1; }

static void *help(void *argument) {
  helper me = *(helper *)argument;
  bge_pool *pool = me.pool;
  free(argument);
  int done = 0;
  for (;;) {
    pthread_mutex_lock(&pool->lock);
    while (pool->round == done && !pool->stop) pthread_cond_wait(&pool->work, &pool->lock);
    const int stop = pool->stop;
    done = pool->round;
    const int active = pool->active;
    bge_task *task = pool->task;
    void *context = pool->context;
    pthread_mutex_unlock(&pool->lock);
    if (stop) return NULL;
    if (me.number >= active) continue;
    task(context, me.number, active);
    bge_meet(pool, active);
  }
}

void bge_parallel(bge_pool *pool, bge_task *task, void *context, int threads) {
  if (!pool || threads < 2) {
    task(context, 0, 1);
    return;
  }
  pthread_mutex_lock(&pool->lock);
  pool->task = task;
  pool->context = context;
  pool->active = threads;
  pool->round++;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  task(context, 0, threads);
  bge_meet(pool, threads); /* `context` is the caller's: nobody may be at work when this returns */
}

static void stop(bge_pool *pool, int started) {
  pthread_mutex_lock(&pool->lock);
  pool->stop = 1;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < started; i++) pthread_join(pool->thread[i], NULL);
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->work);
  free(pool->thread);
  free(pool);
}

/* Null if the threads cannot be had. */
BGE_API bge_pool *bge_pool_new(int threads) {
  bge_pool *pool = NULL;
  if (threads < 2 || posix_memalign((void **)&pool, 64, sizeof *pool)) return NULL;
  *pool = (bge_pool){.threads = threads};
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->work, NULL);
  pool->thread = calloc((size_t)threads, sizeof *pool->thread);
  int started = 0;
  while (pool->thread && started < threads - 1) {
    helper *argument = malloc(sizeof *argument);
    if (argument) *argument = (helper){pool, started + 1};
    if (!argument || pthread_create(&pool->thread[started], NULL, help, argument)) {
      free(argument);
      break;
    }
    started++;
  }
  if (started == threads - 1) return pool;
  stop(pool, started);
  return NULL;
}

BGE_API void bge_pool_free(bge_pool *pool) {
  if (pool) stop(pool, pool->threads - 1);
}
